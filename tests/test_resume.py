"""A run that is interrupted in one of its passes goes on there, to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from scipy import sparse
from test_glm import CLASSES, draw

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.dataset import Dataset
from distreg.data.folds import KFold, make_cells
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.pipeline.checkpoint import FileCheckpoint
from distreg.result import CVResult


class Stops(FileCheckpoint):
    """Fails at a save, as a killed run does."""

    def __init__(self, folder: Path, after: float = np.inf) -> None:
        super().__init__(folder, {}, resume=True)
        self._left = after

    def save(self, name: str, arrays: dict[str, Any]) -> None:
        super().save(name, arrays)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


KINDS = ("logistic", "poisson", "multinomial", "missing", "sparse")


def data_of(kind: str) -> tuple[str, Dataset]:
    loss = kind if kind in ("poisson", "multinomial") else "logistic"
    X, y, weight = draw(loss, 21, 2400, 8)
    if kind == "missing":
        X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    features: Any = da.from_array(X, chunks=(300, 8))
    if kind == "sparse":
        features = sparse.csr_array(np.where(np.abs(X - X.mean(axis=0)) > X.std(axis=0), X, 0.0))
    missing = "mean" if kind == "missing" else "error"
    return loss, from_arrays(
        features, y, sample_weight=weight, classes=loss in CLASSES, missing=missing
    )


def fitted(kind: str, checkpoint: FileCheckpoint | None, **options: Any) -> tuple[CVResult, int]:
    loss, data = data_of(kind)
    runner = PassRunner(n_threads=2, checkpoint=checkpoint)
    cells = make_cells(KFold(3), data.n_rows)
    keywords = {"n_alphas": 8, "l1_ratios": (1.0, 0.5), **options}
    result = cross_validate(data, cells, PathOptions(loss=loss, **keywords), runner)
    return result, runner.cost.n_block_reads


def check_same(one: CVResult, other: CVResult) -> None:
    np.testing.assert_array_equal(one.cv_mean, other.cv_mean)
    for mine, same in zip(one.paths, other.paths, strict=True):
        for name in ("coef", "intercept", "objective", "dual_gap"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(same, name))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample that is not all rows, and several saves a pass."""
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 300)
    monkeypatch.setattr("distreg.data.dataset.GROUP_BYTES", 20_000)
    monkeypatch.setattr("distreg.passes.SEGMENT_GROUPS", 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [1, 4, 9])
def test_an_interrupted_run_goes_on(kind: str, after: int, tmp_path: Path) -> None:
    whole, reads = fitted(kind, None)
    with pytest.raises(KeyboardInterrupt):
        fitted(kind, Stops(tmp_path / "c", after))
    again, left = fitted(kind, Stops(tmp_path / "c"))
    check_same(whole, again)
    assert left < reads
    assert again.cost.n_passes == whole.cost.n_passes
    last, none = fitted(kind, Stops(tmp_path / "c"))
    check_same(whole, last)
    assert none == 0


def test_a_pass_of_other_points_is_not_used(tmp_path: Path) -> None:
    """It has the name of one that is there, but not its request."""
    fitted("logistic", Stops(tmp_path / "c"))
    alphas = np.geomspace(0.1, 0.01, 8)
    fresh, reads = fitted("logistic", None, alphas=alphas)
    mixed, again = fitted("logistic", Stops(tmp_path / "c"), alphas=alphas)
    check_same(fresh, mixed)
    _, data = data_of("logistic")
    # the summary is the same
    assert again == reads - data.n_blocks


def test_a_state_of_other_groups_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted("logistic", Stops(tmp_path / "c", 1))
    whole, reads = fitted("logistic", None)
    checkpoint = Stops(tmp_path / "c")
    load = checkpoint.load

    def elsewhere(name: str) -> dict[str, Any] | None:
        found = load(name)
        return None if found is None else {**found, "row to go on with": np.array(17)}

    monkeypatch.setattr(checkpoint, "load", elsewhere)
    again, read = fitted("logistic", checkpoint)
    check_same(whole, again)
    assert read == reads
