"""Pipeline files: what is accepted, and what every mistake is answered with."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest

from distreg.exceptions import ConfigError
from distreg.pipeline.config import PipelineConfig, apply_settings, build_config, load_config
from distreg.pipeline.document import Document, parse_value, read_document

MINIMAL = "data:\n  path: a.csv\n  target: y\n"

FULL = """\
name: flights
data:
  path: a.parquet
  target: y
  format: parquet
  numeric: [a, b]
  categorical: c
  exclude: [id]
  weight: w
  offset: o
  missing: mean
  unknown: error
test: {fraction: 0.25, seed: 3, kind: tail}
model:
  loss: logistic
  penalties: [l1, elasticnet]
  l1_ratio: [0.1, 0.5]
  n_alphas: 20
  alpha_min_ratio: 1e-3
  cv: {folds: 4, kind: group, seed: 1, column: g}
  selection: 1se
  standardize: false
  fit_intercept: no
  penalty_factor: {a: 0, b: 2.5}
  tol: 1e-5
  max_passes: 30
cluster: {kind: processes, workers: 2, memory_limit: 500MB}
tracking: {enabled: false, uri: "sqlite:///x.db", experiment: e, register_as: m}
output: {dir: out, figures: false}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *settings: str) -> PipelineConfig:
    return load_config(write(folder, text), settings)


def message(folder: Path, text: str, *settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *settings)
    return str(caught.value)


def test_a_minimal_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.name == "p"
    assert config.model.penalties == ("l1", "l2", "elasticnet")
    assert config.model.l1_ratios == {"l1": 1.0, "l2": 0.0, "elasticnet_0.5": 0.5}
    assert (config.model.cv.folds, config.model.cv.kind, config.model.cv.seed) == (5, "shuffled", 0)
    assert config.model.standardize
    assert (config.model.loss, config.model.max_passes) == ("squared", None)
    assert config.cluster.kind == "threads"
    assert config.test is None
    assert config.output_dir == Path("runs/p")


def test_every_key_is_read(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    assert config.data.categorical == ("c",)
    assert config.test is not None
    assert config.test.kind == "tail"
    assert config.model.fit_intercept is False
    assert config.model.alpha_min_ratio == 1e-3
    assert config.model.tol == 1e-5
    assert (config.model.loss, config.model.max_passes) == ("logistic", 30)
    assert config.model.penalty_factor == {"a": 0.0, "b": 2.5}
    assert config.model.cv.column == "g"
    assert config.cluster.workers == 2
    assert config.tracking.register_as == "m"
    assert config.output_dir == Path("out")


def test_relative_data_belong_to_the_files_folder(tmp_path: Path) -> None:
    assert Path(load(tmp_path, MINIMAL).data.path) == tmp_path / "a.csv"
    assert load(tmp_path, MINIMAL, "data.path=b.csv").data.path == "b.csv"
    absolute = MINIMAL.replace("a.csv", "/data/a.csv")
    assert load(tmp_path, absolute).data.path == "/data/a.csv"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("3", 3),
        ("no", "no"),
        ("2020-01-01", "2020-01-01"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("true", True),
        ("~", None),
        ("", None),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: 1.5}}", {"a": {"b": 1.5}}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse_value(text, "here") == value


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("model.cv=10", lambda c: c.model.cv.folds, 10),
        ("model.cv={folds: 3, kind: time}", lambda c: c.model.cv.kind, "time"),
        ("model.tol=1e-4", lambda c: c.model.tol, 1e-4),
        ("model.loss=multinomial", lambda c: c.model.has_classes, True),
        ("model.loss=squared_hinge", lambda c: c.model.has_classes, True),
        ("model.loss=poisson", lambda c: c.model.has_classes, False),
        ("model={loss: poisson, max_passes: 12}", lambda c: c.model.max_passes, 12),
        ("model.penalties=[l2]", lambda c: c.model.l1_ratios, {"l2": 0.0}),
        ("model.l1_ratio=0.25", lambda c: c.model.l1_ratio, (0.25,)),
        ("test=0.3", lambda c: c.test.fraction, 0.3),
        ("test.kind=tail", lambda c: c.test.kind, "tail"),
        ("output=x/y", lambda c: c.output_dir, Path("x/y")),
        ("cluster.address=tcp://127.0.0.1:1", lambda c: c.cluster.kind, "scheduler"),
        ("data.target=3", lambda c: c.data.target, "3"),
    ],
)
def test_settings(tmp_path: Path, setting: str, key: object, value: object) -> None:
    config = load(tmp_path, MINIMAL, setting)
    assert key(config) == value


TYPOS = {
    "traget": ("data", "target"),
    "weigth": ("data", "weight"),
    "catgorical": ("data", "categorical"),
    "numerics": ("data", "numeric"),
    "formt": ("data", "format"),
    "exlude": ("data", "exclude"),
    "missin": ("data", "missing"),
    "unknwon": ("data", "unknown"),
    "fracton": ("test", "fraction"),
    "sed": ("test", "seed"),
    "penalty": ("model", "penalties"),
    "l1ratio": ("model", "l1_ratio"),
    "n_alpha": ("model", "n_alphas"),
    "max_pass": ("model", "max_passes"),
    "selecton": ("model", "selection"),
    "standardise": ("model", "standardize"),
    "intercept": ("model", "fit_intercept"),
    "penalty_factors": ("model", "penalty_factor"),
    "worker": ("cluster", "workers"),
    "memory": ("cluster", "memory_limit"),
    "experment": ("tracking", "experiment"),
    "directory": ("output", "dir"),
}


@pytest.mark.parametrize("typo", TYPOS)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, typo: str) -> None:
    section, wanted = TYPOS[typo]
    said = message(tmp_path, MINIMAL, f"{section}.{typo}=1")
    assert f"unknown key {section}.{typo}" in said
    assert f"{section}.{wanted}" in said


def test_a_key_of_another_section_is_found(tmp_path: Path) -> None:
    assert "Did you mean model.selection?" in message(tmp_path, MINIMAL + "selection: min\n")


@pytest.mark.parametrize(
    ("lines", "where", "words"),
    [
        ("model:\n  l1_ratio: [0.1, 1.5]", "5:19", ["model.l1_ratio.1", "1.5", "0 (L2) to 1 (L1)"]),
        ("model:\n  l1_ratio: -0.1", "5:3", ["-0.1", "0 or more"]),
        ("model:\n  alphas: [1, -2]", "5:15", ["-2", "above 0", "positive"]),
        ("model:\n  alphas: [0]", "5:12", ["above 0"]),
        ("model:\n  alphas: [1, .nan]", "5:15", ["finite"]),
        ("model:\n  alphas: []", "5:3", ["model.alphas", "at least 1"]),
        ("model:\n  alphas: [1, 1]", "5:3", ["twice"]),
        ("model:\n  alphas: [1]\n  n_alphas: 5", "4:1", ["whole grid", "n_alphas"]),
        ("model:\n  cv: 1", "5:3", ["2 or more"]),
        ("model:\n  cv: many", "5:3", ["many", "folds"]),
        ("model:\n  cv: {folds: 1}", "5:8", ["model.cv.folds"]),
        ("model:\n  cv: {kind: group}", "5:3", ["needs column"]),
        ("model:\n  cv: {kind: grup}", "5:8", ["Did you mean group?"]),
        ("model:\n  cv: {column: g}", "5:3", ["no meaning"]),
        ("model:\n  penalties: [lasso]", "5:15", ["'lasso'", "'l1'"]),
        ("model:\n  penalties: []", "5:3", ["at least 1"]),
        ("model:\n  loss: logit", "5:3", ["'logit'", "'squared'", "Did you mean logistic?"]),
        ("model:\n  loss: poison", "5:3", ["Did you mean poisson?"]),
        ("model: {loss: poisson, max_passes: 1}", "4:24", ["2 or more", "summarises"]),
        ("model:\n  max_passes: 9", "4:1", ["max_passes: 9", "loss: squared", "one pass"]),
        ("model:\n  tol: 0", "5:3", ["above 0"]),
        ("model:\n  tol: abc", "5:3", ["'abc'", "number"]),
        ("model:\n  penalty_factor: {a: -1}", "5:20", ["0 or more"]),
        ("model: 5", "4:1", ["model is 5"]),
        ("test: 1.5", "4:1", ["below 1"]),
        ("test: {kind: last}", "4:8", ["'random'", "'tail'"]),
        ("cluster: {kind: scheduler}", "4:1", ["needs address"]),
        ("cluster: {kind: threads, address: tcp://h:1}", "4:1", ["kind: scheduler"]),
        ("cluster: {memory_limit: lots}", "4:11", ["4GB"]),
        ("cluster: {workers: 0}", "4:11", ["1 or more"]),
        ("name: ../up", "4:1", ["letters"]),
        ('output: ""', "4:1", ["at least 1"]),
    ],
)
def test_a_bad_value_names_place_key_and_remedy(
    tmp_path: Path, lines: str, where: str, words: list[str]
) -> None:
    said = message(tmp_path, MINIMAL + lines + "\n")
    assert f"p.yaml:{where}: " in said
    assert "\n" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["data is not given"]),
        ("data: {path: a.csv}", ["data.target is not given", ":1:1:"]),
        ("- a\n- b", ["sections", "list"]),
        ("data: [", ["not valid YAML"]),
        ("data:\n\tpath: a", ["not valid YAML", ":2:1"]),
        ("a: 1\na: 2", ["'a' is given twice", ":2:1"]),
        ("? [a]\n: 1", ["plain word"]),
        ("data: !!python/object/apply:os.system ['true']", ["tag", "not allowed"]),
        ("data: !!set {a}", ["not allowed"]),
        ("data: &x {path: a}\nmodel: *x", ["aliases", "write the value out"]),
        ("a: 1\n---\nb: 2", ["not valid YAML"]),
        ("data: \x00", ["not valid YAML"]),
        ("n: " + "9" * 5000, ["not a number"]),
    ],
)
def test_what_is_not_a_pipeline_file(tmp_path: Path, text: str, words: list[str]) -> None:
    said = message(tmp_path, text)
    for word in words:
        assert word in said


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    said = message(tmp_path, MINIMAL + "model: {tol: 0, cvv: 3}\noutptu: x\n").splitlines()
    assert len(said) == 3


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a]\n" for i in range(50)),
        "a: " + "[" * 5000 + "]" * 5000,
        "a:\n" + "".join("  " * i + "- b:\n" for i in range(1, 1000)),
        "a: {" * 5000,
        "[" * 400_000,
    ],
)
def test_bombs_are_refused_quickly_and_small(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(ConfigError):
            read_document(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 20
    assert peak < 100e6


def test_long_and_binary_files_are_refused(tmp_path: Path) -> None:
    assert "too long" in message(tmp_path, "#" * 1_000_001)
    path = tmp_path / "b.yaml"
    path.write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(ConfigError, match="distreg fit DATA"):
        load_config(path)
    with pytest.raises(ConfigError, match="distreg init"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_a_setting_reaches_into_a_shorthand(tmp_path: Path) -> None:
    text = MINIMAL + "model: {cv: 7}\ntest: 0.3\noutput: x\n"
    config = load(tmp_path, text, "model.cv.seed=4", "test.kind=tail", "output.dir=y")
    assert (config.model.cv.folds, config.model.cv.seed) == (7, 4)
    assert config.test is not None
    assert (config.test.fraction, config.test.kind) == (0.3, "tail")
    assert config.output_dir == Path("y")


@pytest.mark.parametrize(
    "setting", ["model.cv", "=3", "model..cv=3", "model.cv.folds.y=1", "a=[", "a=*b"]
)
def test_bad_settings(tmp_path: Path, setting: str) -> None:
    said = message(tmp_path, MINIMAL + "model: {tol: 0.1}\n", setting)
    assert f"--set {setting}" in said


def test_a_configuration_cannot_change(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"


def test_equal_l1_ratios_are_fitted_once() -> None:
    document = Document()
    apply_settings(document, ["data.path=a", "data.target=y", "model.l1_ratio=[0, 0.5, 1]"])
    assert build_config(document).model.l1_ratios == {"l1": 1.0, "l2": 0.0, "elasticnet_0.5": 0.5}


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    draw = random.Random(17)
    pieces = ["\n", " ", ":", "-", "[", "}", "&a", "*a", "!", "1e999", "null", "~", "'", '"', "\t"]
    refused = 0
    for _ in range(400):
        text = FULL
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(text))
            cut = draw.randrange(4)
            text = text[:at] + draw.choice(pieces) + text[at + cut :]
        try:
            load(tmp_path, text)
        except ConfigError:
            refused += 1
    assert refused > 200
