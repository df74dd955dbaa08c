"""A commented pipeline file, and a small table for it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import yaml

from distreg.exceptions import ConfigError
from distreg.pipeline.config import safe_name

__all__ = ["write_example"]

TEMPLATE = """\
# A distreg pipeline. Run it:        distreg run {file}
# What it would do, without doing it: distreg plan {file}
# Any key can be set from outside:    distreg run {file} --set model.cv=10
name: {name}

data:
  path: {path} # a file, a folder of files, or a glob; relative to this file
  # format: csv             # parquet, csv, zarr or npy; by default from the name
  target: {target} # the column to predict
  # numeric: [a, b]         # by default all number columns
  # categorical: [c]        # by default all text columns; each level becomes a 0/1 feature
  # exclude: [id]           # columns to leave out
  # weight: w               # a column of sample weights
  missing: error # or mean (filled with the mean of each training fold), or drop (the row)

test:
  fraction: 0.2 # rows kept away from the fit, to score the models at the end
  seed: 0
  kind: random # or tail: the last rows

model:
  # loss: logistic          # two classes; multinomial; poisson for counts; squared_hinge;
                            # huber for targets with outliers (delta: where it becomes linear)
  penalties: [l1, l2, elasticnet] # compared on the same folds, in the same single pass
  l1_ratio: [0.1, 0.5, 0.9] # of the Elastic Net: 0 is L2, 1 is L1
  n_alphas: 100 # penalty strengths, from "all coefficients zero" downwards
  cv:
    folds: 5
    kind: shuffled # or contiguous, time; group or column with column: NAME
    seed: 0
  selection: 1se # the simplest model within one standard error of the best; or min
  standardize: true
  # penalty_factor: {{a: 0}} # 0 never penalises a feature, 2 penalises it twice
  # positive: true # no coefficient below 0; or lower_bounds, upper_bounds: a number or {{a: 0}}

# stability: {{n_pairs: 50, threshold: 0.75}} # features that fits to random halves agree on

cluster:
  kind: threads # of this process; processes; or scheduler with address: tcp://HOST:PORT
  # workers: 4
  # memory_limit: 4GB

tracking:
  enabled: true # MLflow; by default in SQLite beside the output folder
  # uri: http://127.0.0.1:5000

output: {output} # relative to the current directory
"""


def write_example(file: str, data: str | None = None, target: str | None = None) -> list[str]:
    """Write a pipeline file, and example data unless `data` names some.

    Returns
    -------
    list of str
        What was done and what to do next.

    Raises
    ------
    ConfigError
        A file is there already, or cannot be written; or only one of `data` and `target` is given.
    """
    path = Path(file)
    if (data is None) != (target is None):
        raise ConfigError("give --data and --target together, or none of them for example data")
    name = safe_name(path)
    said = []
    if data is None:
        table = path.with_suffix(".csv")
        _refuse_existing(path, table)
        _write(table, _example_table())
        said.append(f"Wrote {table}: 400 made-up homes and their heating energy")
        shown, target = table.name, "energy"
    else:
        _refuse_existing(path)
        shown = data if "://" in data else os.path.relpath(data, path.parent)
    text = TEMPLATE.format(
        file=path,
        name=_quoted(name),
        path=_quoted(shown),
        target=_quoted(target or ""),
        output=_quoted(f"runs/{name}"),
    )
    _write(path, text)
    return [*said, f"Wrote {path}", f"Next: distreg run {path}"]


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} is there already; give another name, or remove it")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written ({error})") from None


def _quoted(text: str) -> str:
    """A YAML scalar on one line."""
    dumped: str = yaml.safe_dump([text], default_flow_style=True, width=10**6, allow_unicode=True)
    return dumped.strip()[1:-1]


def _example_table() -> str:
    """Homes whose heating energy depends on some of their columns."""
    draw = random.Random(0)
    columns = ("area", "age", "rooms", "insulation", "window_area", "sun_hours", "street_number")
    lines = [",".join((*columns, "heating", "energy"))]
    extra = {"gas": 0.0, "oil": 900.0, "heat pump": -2500.0}
    for _ in range(400):
        area = draw.uniform(30, 220)
        age = draw.uniform(0, 110)
        rooms = max(1, round(area / 28 + draw.gauss(0, 0.8)))
        insulation = draw.uniform(2, 24)
        window = area * draw.uniform(0.08, 0.25)
        sun = draw.uniform(900, 2100)
        street = draw.randrange(1, 300)
        heating = draw.choice(list(extra))
        energy = 2500 + 70 * area + 25 * age - 190 * insulation + 45 * window - 0.9 * sun
        energy += extra[heating] + draw.gauss(0, 900)
        numbers = (area, age, rooms, insulation, window, sun, street)
        lines.append(",".join([*(f"{v:g}" for v in numbers), heating, f"{energy:.1f}"]))
    return "\n".join(lines) + "\n"
