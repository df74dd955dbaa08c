"""Files of any size become a `Dataset`, whose blocks are read where the work is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distreg.data import csvfiles, csvscan, footers, parquet, stores
from distreg.data.block import BlockRecipe
from distreg.data.columns import check_missing
from distreg.data.dataset import Dataset, digest_of, make_groups
from distreg.data.formats import SUFFIXES, csv_files, guess_format
from distreg.data.frames import (
    MAX_LEVELS,
    Chosen,
    TableLayout,
    choose_columns,
    finish_layout,
    nearest,
)
from distreg.data.rows import Roles
from distreg.data.storage import FileRef, list_files
from distreg.exceptions import DataError, InputError

__all__ = ["SUFFIXES", "read_dataset"]


@dataclass(frozen=True)
class Request:
    """What the user asked for; the fields are the arguments of `read_dataset`."""

    path: str
    roles: Mapping[str, str]
    numeric: tuple[str, ...] | None
    categorical: tuple[str, ...] | None
    exclude: tuple[str, ...]
    missing: Any
    unknown: Any
    options: Mapping[str, Any]

    def choose(self, kinds: Mapping[str, str]) -> Chosen:
        """Features among the columns; roles that name no column are refused."""
        for role, name in self.roles.items():
            if name not in kinds:
                label = "target" if role == "y" else role
                raise DataError(f"{label}={name!r}: {nearest(name, kinds)}")
            if role != "fold_key" and kinds[name] != "number":
                label = "target" if role == "y" else role
                raise DataError(
                    f"{label} column {name!r} holds {kinds[name]}, not numbers. Convert it first."
                )
        return choose_columns(kinds, self.roles, self.numeric, self.categorical, self.exclude)

    @property
    def declared(self) -> tuple[str, ...]:
        """Columns that the user wants as categories, and the fold column."""
        key = self.roles.get("fold_key")
        return tuple(dict.fromkeys([*(self.categorical or ()), *([key] if key else [])]))


def read_dataset(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    target: str | int | None = None,
    numeric: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    weight: str | int | None = None,
    offset: str | int | None = None,
    missing: str = "error",
    unknown: str = "ignore",
    fold_key: str | int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Make a data set of files, without reading more than is needed to plan.

    Parameters
    ----------
    path : str or path
        A file, a folder or a glob; or a URL that fsspec understands.
    format : {"parquet", "csv", "npy", "zarr"}, optional
        Default: by the names of the files.
    target, weight, offset, fold_key : str or int, optional
        Columns. For npy and zarr also a column number, or the name of an array beside X (default
        target: y, if there is one).
    numeric : sequence of str, optional
        Numeric features; default: all columns of numbers that have no other use.
    categorical : sequence of str, optional
        Categorical features; default: all columns of text or dictionaries.
    exclude : sequence of str
        Columns to leave out.
    missing : {"error", "mean", "drop"}
        What to do about missing values in the features.
    unknown : {"ignore", "error"}
        What to do, when predicting, about a level that the training data did not have.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Dataset

    Notes
    -----
    Row numbers follow the natural order of the files' names. Parquet needs its footers, and one
    scan of the categorical columns if there are any; csv needs one scan of everything; npy and zarr
    need none. Scans run where Dask computes.
    """
    check_missing(missing)
    source = os.fspath(path)
    named = {"y": target, "weight": weight, "offset": offset, "fold_key": fold_key}
    request = Request(
        path=source,
        roles={role: str(name) for role, name in named.items() if name is not None},
        numeric=None if numeric is None else tuple(numeric),
        categorical=None if categorical is None else tuple(categorical),
        exclude=tuple(exclude),
        missing=missing,
        unknown=unknown,
        options=dict(storage_options or {}),
    )
    readers: dict[str, Callable[[Request], Dataset]] = {
        "parquet": _read_parquet,
        "csv": _read_csv,
        "npy": _read_store,
        "zarr": _read_store,
    }
    chosen = format or guess_format(source, request.options)
    if chosen not in readers:
        raise InputError(f"format={format!r} is unknown. Use one of {', '.join(readers)}.")
    return readers[chosen](request)


def _read_parquet(request: Request) -> Dataset:
    files = list_files(request.path, SUFFIXES["parquet"], request.options)
    found = footers.read_footers(files, request.options)
    first = found[0]
    index = first.index - set(request.declared) - set(request.numeric or ())
    index -= set(request.roles.values())
    kinds = {name: kind for name, kind in first.kinds.items() if name not in index}
    exclude = tuple(name for name in request.exclude if name not in index)
    chosen = replace(request, exclude=exclude).choose(kinds)
    _check_drift(found, chosen, request)
    key = request.roles.get("fold_key")
    scanned = list(chosen.categorical)
    if key is not None and first.kinds[key] != "number":
        scanned.append(key)
    limits = {n: MAX_LEVELS for n in chosen.categorical if n not in chosen.asked}
    scans = []
    if scanned:
        names = tuple(dict.fromkeys(scanned))
        scans = footers.scan_levels(found, names, limits, request.options)
    single = all(f.types[name] == "float" for f in found for name in chosen.numeric)
    layout = finish_layout(
        chosen,
        Roles.of(request.roles),
        scans,
        missing=request.missing,
        unknown=request.unknown,
        dtype="float32" if single and chosen.numeric else "float64",
    )
    text = tuple(n for n in layout.columns.categorical if first.types[n].endswith("string"))
    shared = parquet.ParquetSource(layout, text, request.options)
    recipes, advice = parquet.plan_blocks(found, shared)
    return _table_dataset(request, layout, recipes, files, int(bool(scanned)), advice)


def _check_drift(found: Sequence[footers.Footer], chosen: Chosen, request: Request) -> None:
    """Refuse files whose columns are not those of the first file."""
    first = found[0]
    needed = (*chosen.numeric, *chosen.categorical, *request.roles.values())
    for footer in found[1:]:
        absent = [name for name in needed if name not in footer.kinds]
        extra = sorted(set(footer.kinds) - set(first.kinds) - set(request.exclude) - footer.index)
        automatic = request.numeric is None or request.categorical is None
        if absent or (extra and automatic):
            parts = [f"lacks {absent}" if absent else "", f"also has {extra}" if extra else ""]
            raise DataError(
                f"{footer.file.path} {' and '.join(p for p in parts if p)}, compared with "
                f"{first.file.path}. All files must have the same columns; name the columns to use "
                "in `numeric` and `categorical`, or leave columns out with `exclude`."
            )
        for name in needed:
            if footer.kinds[name] != first.kinds[name]:
                raise DataError(
                    f"Column {name!r} holds {footer.types[name]} in {footer.file.path} and "
                    f"{first.types[name]} in {first.file.path}. Write it with one type."
                )


def _read_csv(request: Request) -> Dataset:
    if request.path.lower().endswith((".gz", ".bz2", ".zst", ".xz", ".zip")):
        raise InputError(
            f"{request.path} is compressed, so that it cannot be read in parts. Decompress it, or "
            "convert it to parquet."
        )
    files = csv_files(request.path, request.options)
    scanned = csvscan.scan_files(files, request.declared, request.options)
    for other in scanned[1:]:
        if set(other.names) != set(scanned[0].names):
            lacks = sorted(set(scanned[0].names) - set(other.names))
            extra = sorted(set(other.names) - set(scanned[0].names))
            raise DataError(
                f"{other.file.path} lacks {lacks} and also has {extra}, compared with "
                f"{scanned[0].file.path}. All files must have the same columns."
            )
    unused = set(request.exclude)
    if request.numeric is not None and request.categorical is not None:
        used = {*request.numeric, *request.categorical, *request.roles.values()}
        unused = set(scanned[0].names) - used
    found = csvscan.join_kinds(scanned, request.declared, unused)
    numbers = ("null", "bool", "integer", "real")
    kinds = {n: "number" if found.get(n, "null") in numbers else found[n] for n in scanned[0].names}
    chosen = request.choose(kinds)
    if "" in {*chosen.numeric, *chosen.categorical} - {*(request.numeric or ()), *chosen.asked}:
        raise InputError(
            f"{request.path} has a column without a name (an index written by pandas?). Leave it "
            "out with exclude=['']."
        )
    key = request.roles.get("fold_key")
    labels = dict.fromkeys([*chosen.categorical, *([key] if key else [])])
    asked = {*request.declared}
    only_key = None if key in chosen.categorical else key
    scans, label_kinds = csvscan.typed_scans(scanned, labels, asked, only_key)
    layout = finish_layout(
        chosen,
        Roles.of(request.roles),
        scans,
        missing=request.missing,
        unknown=request.unknown,
    )
    if key is not None and label_kinds[key] != "text":
        layout = TableLayout(layout.columns, Roles.of(request.roles), layout.dtype)
    types = {
        name: label_kinds.get(name) or ("bool" if found.get(name) == "bool" else "real")
        for name in layout.names
    }
    shared = csvfiles.CsvSource(layout, types, request.options)
    return _table_dataset(request, layout, csvfiles.plan_blocks(scanned, shared), files, 1)


def _table_dataset(
    request: Request,
    layout: TableLayout,
    recipes: Sequence[BlockRecipe],
    files: Sequence[FileRef],
    n_scans: int,
    advice: tuple[str, ...] = (),
) -> Dataset:
    columns, roles = layout.columns, layout.roles
    schema = [columns.to_dict(), dict(request.roles)]
    return Dataset(
        name=os.path.basename(request.path.rstrip("/")) or request.path,
        n_rows=sum(recipe.n_rows for recipe in recipes),
        feature_names=columns.feature_names,
        n_dense=columns.n_dense,
        n_sparse=columns.n_sparse,
        groups=make_groups(recipes),
        in_memory=False,
        digest=digest_of(schema, [ref.state for ref in files]),
        missing=request.missing,
        columns=columns,
        has_y=roles.y is not None,
        has_weight=roles.weight is not None,
        has_offset=roles.offset is not None,
        nbytes=sum(recipe.nbytes for recipe in recipes),
        n_scans=n_scans,
        fold_key=roles.fold_key,
        fold_key_levels=roles.fold_key_levels,
        advice=advice,
    )


def _read_store(request: Request) -> Dataset:
    if request.categorical:
        raise InputError(
            f"categorical={list(request.categorical)}: arrays hold numbers only. Write the data as "
            "parquet to use categories."
        )
    if request.path.rstrip("/").endswith(".npy") or _holds_npy(request.path):
        X, beside, files = stores.find_npy(request.path)
    else:
        X, beside, files = stores.find_zarr(request.path, request.options)
    matrix = stores.open_matrix(X, request.options)
    columns, arrays = stores.resolve_roles(request.roles, matrix, beside)
    features = stores.feature_columns(matrix, columns, request.numeric, request.exclude)
    drop = request.missing == "drop"
    shared = stores.StoreSource(X, matrix.shape, features, columns, arrays, drop, request.options)
    stores.check_arrays(shared)
    recipes = stores.plan_store(shared, matrix)
    names = tuple(matrix.names[j] for j in features)
    schema = [names, matrix.shape, str(matrix.dtype), dict(request.roles), request.missing]
    key = request.roles.get("fold_key")
    return Dataset(
        name=os.path.basename(request.path.rstrip("/")) or request.path,
        n_rows=matrix.shape[0],
        feature_names=names,
        n_dense=len(features),
        n_sparse=0,
        groups=make_groups(recipes),
        in_memory=False,
        digest=digest_of(schema, [ref.state for ref in files]),
        missing=request.missing,
        has_y="y" in columns or "y" in arrays,
        has_weight="weight" in request.roles,
        has_offset="offset" in request.roles,
        nbytes=sum(recipe.nbytes for recipe in recipes),
        fold_key=key,
    )


def _holds_npy(path: str) -> bool:
    return os.path.isdir(path) and any(name.endswith(".npy") for name in os.listdir(path))
