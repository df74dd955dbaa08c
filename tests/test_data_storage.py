"""Folders, links and globs: every file is found once, in an order that does not vary."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import zarr
from blocks import read

from distreg.data import read_dataset
from distreg.exceptions import DataError


def part(folder, k, name="x.parquet"):
    """A file of one row with target k."""
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"a": [0.5 * k], "y": [float(k)]}).to_parquet(folder / name)


def targets(path, **keywords):
    return read(read_dataset(path, target="y", **keywords)).y.tolist()


def test_linked_folders_are_read_once_and_loops_end(tmp_path):
    part(tmp_path / "elsewhere", 2)
    part(tmp_path / "t" / "a", 1)
    (tmp_path / "t" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "t" / "a" / "up").symlink_to(tmp_path / "t")
    (tmp_path / "t" / "c").symlink_to(tmp_path / "t" / "b")
    assert targets(tmp_path / "t") == [1.0, 2.0]


def test_a_link_to_a_hidden_folder_counts(tmp_path):
    part(tmp_path / ".versions" / "1", 1)
    (tmp_path / "now").symlink_to(tmp_path / ".versions" / "1")
    assert targets(tmp_path) == [1.0]


@pytest.mark.parametrize("kind", ["parquet", "zarr"])
def test_a_folder_that_cannot_be_read_is_an_error(kind, tmp_path, monkeypatch):
    if kind == "parquet":
        part(tmp_path / "t", 1)
        part(tmp_path / "t" / "secret", 2)
    else:
        group = zarr.open_group(tmp_path / "t", mode="w")
        group.create_array("X", data=np.ones((4, 2)), chunks=(2, 2))
        (tmp_path / "t" / "X" / "secret").mkdir()
    scandir = os.scandir

    def refusing(path="."):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="permission denied"):
        read_dataset(tmp_path / "t", target="x1" if kind == "zarr" else "y")


def test_globs_follow_the_names_of_folders_and_numbers_in_them(tmp_path, monkeypatch):
    for k in (10, 9, 2, 1):
        part(tmp_path / f"d{k}", k)
    assert targets(f"{tmp_path}/*/*.parquet") == [1.0, 2.0, 9.0, 10.0]
    assert targets(f"{tmp_path}/**/x.parquet") == [1.0, 2.0, 9.0, 10.0]
    monkeypatch.chdir(tmp_path)
    assert targets("d*/x.parquet") == [1.0, 2.0, 9.0, 10.0]


def test_names_that_differ_by_leading_zeros_have_one_order(tmp_path):
    for k, name in enumerate(["01.parquet", "1.parquet", "002.parquet"]):
        part(tmp_path, k, name)
    assert targets(tmp_path) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("pattern", ["year=*/x.parquet", "*/x.parquet", "*/*.parquet"])
def test_globs_over_hive_folders_are_refused(pattern, tmp_path):
    part(tmp_path / "year=2020", 1)
    part(tmp_path / "year=2021", 2)
    with pytest.raises(DataError, match="partitioned by folders such as 'year=2020/"):
        read_dataset(f"{tmp_path}/{pattern}", target="y")
    assert targets(f"{tmp_path}/year=2020/*.parquet") == [1.0]


def zarr_store(folder, zarr_format, shards=None):
    group = zarr.open_group(folder / "t.zarr", mode="w", zarr_format=zarr_format)
    X = np.arange(1.0, 25.0).reshape(8, 3)
    X[4:6, 1] = 0.0  # a chunk of zeros has no file
    shards = {"shards": shards} if shards else {}
    group.create_array("X", data=X, chunks=(2, 1), **shards)
    group.create_array("y", data=np.arange(1.0, 9.0), chunks=(4,))
    return folder / "t.zarr", X


@pytest.mark.parametrize(
    ("zarr_format", "shards", "lost"),
    [(2, None, "X/1.2"), (3, None, "X/c/1/2"), (3, (4, 3), "X/c/1/0"), (3, None, "y/c/0")],
)
def test_a_zarr_chunk_that_vanishes_is_no_zeros(zarr_format, shards, lost, tmp_path, monkeypatch):
    monkeypatch.setattr("distreg.data.stores.BLOCK_BYTES", 2 * 2 * 3 * 8)
    path, X = zarr_store(tmp_path, zarr_format, shards)
    data = read_dataset(path)
    whole = read(data)
    np.testing.assert_array_equal(whole.X, X)
    np.testing.assert_array_equal(whole.y, np.arange(1.0, 9.0))
    assert data.n_blocks == 4
    (path / lost).unlink()
    with pytest.raises(DataError, match="has changed: these rows were in"):
        read(data)
