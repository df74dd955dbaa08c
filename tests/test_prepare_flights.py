"""The demo's table: what is known before departure, nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from distreg.pipeline.config import load_config

SCRIPT = Path(__file__).parents[1] / "pipelines" / "prepare_flights.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """The script, with three small tables instead of the package's."""
    spec = importlib.util.spec_from_file_location("prepare_flights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flights = pd.DataFrame(
        {
            "year": 2013,
            "month": [2, 1, 1, 1],
            "day": [1, 31, 1, 1],
            "dep_time": [600.0, np.nan, 700.0, 2358.0],
            "sched_dep_time": [555, 900, 700, 2359],
            "dep_delay": [5.0, np.nan, 0.0, -1.0],
            "arr_time": [800.0, np.nan, 900.0, 10.0],
            "sched_arr_time": [755, 1100, 905, 25],
            "arr_delay": [5.0, np.nan, -5.0, -15.0],
            "carrier": ["UA", "AA", "UA", "B6"],
            "flight": [1, 2, 3, 4],
            "tailnum": ["N1", "N1", "N2", "N3"],
            "origin": ["EWR", "EWR", "JFK", "JFK"],
            "dest": ["ORD", "ORD", "LAX", "BQN"],
            "air_time": [100.0, np.nan, 300.0, 200.0],
            "distance": [719, 719, 2475, 1576],
            "hour": [5, 9, 7, 23],
            "minute": [55, 0, 0, 59],
            "time_hour": [
                "2013-02-01T10:00:00Z",
                "2013-01-31T14:00:00Z",
                "2013-01-01T12:00:00Z",
                "2013-01-02T04:00:00Z",
            ],
        }
    )
    measured = ["temp", "dewp", "humid", "precip", "pressure", "visib"]
    weather = pd.DataFrame([[1.0] * 6, [2.0] * 6], columns=measured).assign(
        origin=["JFK", "EWR"],
        time_hour=["2013-01-01T12:00:00Z", "2013-02-01T10:00:00Z"],
        wind_dir=[0.0, 90.0],
        wind_speed=[10.0, 1048.0],
        wind_gust=[np.nan, 20.0],
    )
    planes = pd.DataFrame(
        {
            "tailnum": ["N1"],
            "year": [2001.0],
            "type": ["Fixed wing multi engine"],
            "manufacturer": ["AIRBUS"],
            "model": ["A320"],
            "engines": [2],
            "seats": [182],
            "speed": [np.nan],
            "engine": ["Turbo-fan"],
        }
    )
    tables = {"flights": flights, "weather": weather, "planes": planes}
    monkeypatch.setattr(module, "read_table", tables.__getitem__)
    return module


def test_rows_are_the_flights_that_arrived_in_order_of_schedule(script) -> None:
    table = script.build()
    assert table["arr_delay"].tolist() == [-5.0, -15.0, 5.0]
    assert table["sched_block_minutes"].tolist() == [125.0, 26.0, 120.0]


def test_late_is_15_minutes_or_more(script, monkeypatch: pytest.MonkeyPatch) -> None:
    assert script.build()["late"].tolist() == [0, 0, 0]
    flights = script.read_table("flights")
    flights.loc[[0, 2], "arr_delay"] = [15.0, 14.0]
    table = script.build()
    assert dict(zip(table["arr_delay"], table["late"], strict=True)) == {14.0: 0, -15.0: 0, 15.0: 1}
    assert list(table.columns[:2]) == ["arr_delay", "late"]


def test_nothing_known_only_afterwards_is_kept(script) -> None:
    later = {"dep_time", "dep_delay", "arr_time", "air_time"}
    assert not later & set(script.build().columns)


def test_weather_and_aircraft_are_joined_and_gaps_stay_gaps(script) -> None:
    table = script.build()
    np.testing.assert_allclose(table["wind_north"], [10.0, np.nan, np.nan], equal_nan=True)
    assert table["wind_speed"].isna().tolist() == [False, True, True]  # 1,048 mph is no wind
    assert table["temp"].tolist()[::2] == [1.0, 2.0]
    assert table["seats"].isna().tolist() == [True, True, False]


def test_routes_and_weekdays_follow_from_the_schedule(script) -> None:
    assert script.build()["route"].tolist() == ["JFK-LAX", "JFK-BQN", "EWR-ORD"]
    assert script.build()["weekday"].tolist() == ["Tue", "Tue", "Fri"]


def test_the_pipelines_leave_out_the_other_target(script, tmp_path: Path) -> None:
    script.write_parquet(script.build(), tmp_path / "flights.parquet")
    for name, target, loss in (
        ("flights", "arr_delay", "squared"),
        ("flights_late", "late", "logistic"),
    ):
        path = f"data.path={tmp_path / 'flights.parquet'}"
        config = load_config(SCRIPT.with_name(f"{name}.yaml"), [path])
        assert (config.data.target, config.model.loss) == (target, loss)
        other = {"arr_delay", "late"} - {target}
        assert set(config.data.exclude) == other
        assert other | {target} <= set(script.build().columns)


def test_file_has_several_row_groups_and_no_partial_file_stays(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ROWS_PER_GROUP", 2)
    script.write_parquet(script.build(), tmp_path / "data" / "flights.parquet")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["flights.parquet"]
    assert pq.ParquetFile(tmp_path / "data" / "flights.parquet").num_row_groups == 2
