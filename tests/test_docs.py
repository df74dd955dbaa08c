"""The reference pages name every key and every option, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from distreg.pipeline import config

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": config.PipelineConfig,
    "data": config.DataConfig,
    "test": config.TestConfig,
    "model": config.ModelConfig,
    "model.cv": config.CVConfig,
    "cluster": config.ClusterConfig,
    "tracking": config.TrackingConfig,
    "output": config.OutputConfig,
}


def rows_of(section: str) -> dict[str, str]:
    """Key and default of the table below a heading of docs/pipeline.md."""
    text = (DOCS / "pipeline.md").read_text(encoding="utf-8")
    part = re.search(rf"^##+ {re.escape(section)}$(.*?)(?=^##|\Z)", text, flags=re.M | re.S)
    assert part is not None
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", part[1], flags=re.M))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_no_other(section: str) -> None:
    assert set(rows_of(section)) == set(SECTIONS[section].model_fields)


@pytest.mark.parametrize("section", SECTIONS)
def test_documented_defaults_are_the_defaults(section: str) -> None:
    rows = rows_of(section)
    for key, field in SECTIONS[section].model_fields.items():
        default: Any = field.default
        if field.is_required():
            assert rows[key] == "needed"
        elif isinstance(default, bool):
            assert rows[key] in ("true", "on") if default else rows[key] == "false"
        elif isinstance(default, (int, float)):
            assert float(rows[key].split(",")[0]) == default
        elif isinstance(default, str) and key != "name":
            assert rows[key] == f"`{default}`"


def test_every_option_of_run_is_documented() -> None:
    import typer

    from distreg.cli.app import app

    command = typer.main.get_command(app).commands["run"]
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    for option in command.params:
        if option.param_type_name == "option" and "--help" not in option.opts:
            long = max(option.opts, key=len)
            assert f"`{long}" in page, long


def test_every_command_is_documented() -> None:
    import typer

    from distreg.cli.app import app

    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:
        assert f"distreg {name} " in page
