"""A pipeline from file to folder, and what keeps a run safe: checkpoints and whole folders."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from distreg.exceptions import ConfigError
from distreg.pipeline.checkpoint import FileCheckpoint
from distreg.pipeline.output import check_output, read_report, replace_folder, write_csv

WHOLE = ["report.json", "coefficients.csv", "path.csv", "pipeline.yaml", "model", "figures",
         "tracking"]  # fmt: skip
IDENTITY = {"data (digest)": "d", "folds": {"folds": 5}, "weights": [1, 2]}


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(3, 4)), "n": np.array(seed), "none": np.empty((0, 2))}


def assert_same(left: dict[str, np.ndarray] | None, right: dict[str, np.ndarray]) -> None:
    assert left is not None
    assert left.keys() == right.keys()
    for name in right:
        np.testing.assert_array_equal(left[name], right[name])


def test_a_checkpoint_returns_what_was_saved(tmp_path: Path) -> None:
    first = FileCheckpoint(tmp_path / "c", IDENTITY, resume=False)
    assert first.load("pass-1: moments-0") is None
    first.save("pass-1: moments-0", arrays(0))
    first.save("pass-1: moments-32", arrays(1))
    second = FileCheckpoint(tmp_path / "c", IDENTITY, resume=True)
    assert second.resumed
    assert_same(second.load("pass-1: moments-0"), arrays(0))
    assert_same(second.load("pass-1: moments-32"), arrays(1))
    second.save("pass-1: moments-0", arrays(2))
    assert_same(second.load("pass-1: moments-0"), arrays(2))
    assert not FileCheckpoint(tmp_path / "none", IDENTITY, resume=True).resumed


def test_a_checkpoint_is_removed_without_resume(tmp_path: Path) -> None:
    FileCheckpoint(tmp_path / "c", IDENTITY, resume=False).save("x", arrays(0))
    assert FileCheckpoint(tmp_path / "c", IDENTITY, resume=False).load("x") is None


@pytest.mark.parametrize("key", [*IDENTITY, "new"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, key: str) -> None:
    FileCheckpoint(tmp_path / "c", IDENTITY, resume=False).save("x", arrays(0))
    with pytest.raises(ConfigError) as caught:
        FileCheckpoint(tmp_path / "c", {**IDENTITY, key: "other"}, resume=True)
    assert key in str(caught.value)
    assert "without --resume" in str(caught.value)


def test_damage_to_a_checkpoint_is_always_seen(tmp_path: Path) -> None:
    draw = random.Random(5)
    checkpoint = FileCheckpoint(tmp_path / "c", IDENTITY, resume=False)
    checkpoint.save("x", arrays(0))
    [file] = (tmp_path / "c").glob("*.bin")
    whole = file.read_bytes()
    for trial in range(100):
        damaged = bytearray(whole)
        if trial % 2:
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        else:
            del damaged[draw.randrange(len(whole)) :]
        file.write_bytes(bytes(damaged))
        assert checkpoint.load("x") is None
    file.write_bytes(whole)
    assert_same(checkpoint.load("x"), arrays(0))
    (tmp_path / "c" / "identity.json").write_text("[")
    with pytest.raises(ConfigError, match="another"):
        FileCheckpoint(tmp_path / "c", IDENTITY, resume=True)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    replace_folder(folder, lambda new: write_csv(new / "old.csv", ["a"], [[0.1], [1e-300]]))
    assert (folder / "old.csv").read_text() == "a\n0.1\n1e-300\n"
    replace_folder(folder, lambda new: write_csv(new / "new.csv", ["a"], []))
    assert [p.name for p in folder.iterdir()] == ["new.csv"]

    def fail(new: Path) -> None:
        write_csv(new / "half.csv", ["a"], [])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(folder, fail)
    assert [p.name for p in folder.iterdir()] == ["new.csv"]
    assert [p.name for p in folder.parent.iterdir()] == ["run"]


def test_journals_outlive_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "tracking").mkdir(parents=True)
    (folder / "tracking" / "k.jsonl").write_text("{}")
    check_output(folder)
    for name in ("one.csv", "two.csv"):
        replace_folder(folder, lambda new, name=name: write_csv(new / name, ["a"], []))
        assert sorted(p.name for p in folder.iterdir()) == sorted([name, "tracking"])
    assert (folder / "tracking" / "k.jsonl").read_text() == "{}"


def test_output_folders_that_are_ours(tmp_path: Path) -> None:
    for content in ([], ["error.log"], ["checkpoint", "error.log"], WHOLE):
        folder = tmp_path / "-".join(["run", *content])
        folder.mkdir()
        for name in content:
            (folder / name).touch()
        check_output(folder)
    check_output(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").is_dir()


@pytest.mark.parametrize(
    ("content", "foreign"),
    [
        (["thesis.tex"], "thesis.tex"),
        ([*WHOLE, "thesis.tex"], "thesis.tex"),
        ([*WHOLE, "pred.csv"], "pred.csv"),
        (["report.json", ".git"], ".git"),
        (["pipeline.yaml"], "pipeline.yaml"),
        (["checkpoint", "model"], "model"),
    ],
)
def test_a_folder_with_a_file_of_the_user_is_refused(
    tmp_path: Path, content: list[str], foreign: str
) -> None:
    for name in content:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="other files") as caught:
        check_output(tmp_path)
    assert f"({foreign})" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(content)


def test_output_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for folder, words in (
        (tmp_path / "home", "other files"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "below", "cannot be written"),
        (Path("/proc/none"), "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written"),
        (tmp_path / "a\0b", "cannot be written"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            check_output(folder)
        assert "--output" in str(caught.value)
    assert (tmp_path / "home" / "thesis.tex").exists()


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"penalties": []}', "\x00"])
def test_what_is_no_report(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(ConfigError, match=r"report|finished run"):
        read_report(tmp_path)


def test_a_report_is_read_from_its_folder_or_file(tmp_path: Path) -> None:
    report = {"penalties": [], "winner": "l1"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == report
