"""Files of any size become a `Dataset`, whose blocks are read where the work is done."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distreg.data import csvfiles, csvkinds, csvscan, footers, parquet, storeroles, stores
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
from distreg.data.labels import check_target
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
    classes: bool = False

    def choose(self, kinds: Mapping[str, str]) -> Chosen:
        """Features among the columns; roles that name no column are refused."""
        for role, name in self.roles.items():
            if name not in kinds:
                label = "target" if role == "y" else role
                raise DataError(f"{label}={name!r}: {nearest(name, kinds)}")
            anything = role == "fold_key" or (role == "y" and self.classes)
            if not anything and kinds[name] != "number":
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

    @property
    def labels(self) -> tuple[str, ...]:
        """The column that holds labels of classes, if there is one."""
        return (self.roles["y"],) if self.classes and "y" in self.roles else ()


def read_dataset(  # noqa: PLR0913 - what a pipeline says of its data
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the word of the pipeline
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
    classes: bool = False,
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
    classes : bool
        The target holds labels of classes: text, numbers, bool or dates. The blocks then hold
        codes, positions among the sorted labels in `Dataset.classes`.

    Returns
    -------
    Dataset

    Notes
    -----
    Row numbers follow the natural order of the files' names. Parquet needs its footers, and one
    scan of the categorical columns and the labels if there are any; csv needs one scan of
    everything; npy and zarr need none but of labels. Scans run where Dask computes.
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
        classes=classes,
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
    if readers[chosen] is not _read_store:
        check_target(classes, target is not None)
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
    scanned += request.labels
    limits = {n: MAX_LEVELS for n in chosen.categorical if n not in chosen.asked}
    scans = []
    if scanned:
        names = tuple(dict.fromkeys(scanned))
        target = next(iter(request.labels), None)
        scans = footers.scan_levels(found, names, limits, request.options, target)
    single = all(f.types[name] == "float" for f in found for name in chosen.numeric)
    layout = finish_layout(
        chosen,
        Roles.of(request.roles),
        scans,
        missing=request.missing,
        unknown=request.unknown,
        dtype="float32" if single and chosen.numeric else "float64",
        classes=request.classes,
    )
    coded = (*layout.columns.categorical, *request.labels)
    text = tuple(name for name in coded if first.types[name].endswith("string"))
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
    as_text = dict.fromkeys(request.labels, MAX_LEVELS) | dict.fromkeys(request.declared, math.inf)
    scanned = csvscan.scan_files(files, as_text, request.options)
    csvkinds.check_headers(scanned)
    unused = set(request.exclude)
    if request.numeric is not None and request.categorical is not None:
        used = {*request.numeric, *request.categorical, *request.roles.values()}
        unused = set(scanned[0].names) - used
    found = csvkinds.join_kinds(scanned, as_text, unused)
    numbers = ("null", "bool", "integer", "real")
    kinds = {n: "number" if found.get(n, "null") in numbers else found[n] for n in scanned[0].names}
    chosen = request.choose(kinds)
    if "" in {*chosen.numeric, *chosen.categorical} - {*(request.numeric or ()), *chosen.asked}:
        raise InputError(
            f"{request.path} has a column without a name (an index written by pandas?). Leave it "
            "out with exclude=['']."
        )
    key = request.roles.get("fold_key")
    target = next(iter(request.labels), None)
    names = dict.fromkeys([*chosen.categorical, *([key] if key else []), *request.labels])
    only_key = None if key in chosen.categorical else key
    scans, read_as = csvkinds.typed_scans(scanned, names, request.declared, only_key, target)
    layout = finish_layout(
        chosen,
        Roles.of(request.roles),
        scans,
        missing=request.missing,
        unknown=request.unknown,
        classes=request.classes,
    )
    if key is not None and read_as[key] != "text":
        layout = replace(layout, roles=replace(layout.roles, fold_key_levels=None))
    types = {
        name: read_as.get(name) or ("bool" if found.get(name) == "bool" else "real")
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
    schema: list[Any] = [columns.to_dict(), dict(request.roles)]
    schema += [] if roles.classes is None else [roles.classes]
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
        classes=roles.classes,
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
    columns, arrays = storeroles.resolve_roles(request.roles, matrix, beside)
    features = storeroles.feature_columns(matrix, columns, request.numeric, request.exclude)
    check_target(request.classes, "y" in columns or "y" in arrays)
    drop = request.missing == "drop"
    shared = stores.StoreSource(X, matrix.shape, features, columns, arrays, drop, request.options)
    storeroles.check_arrays(shared, request.classes)
    recipes = stores.plan_store(shared, matrix)
    names = tuple(matrix.names[j] for j in features)
    schema = [names, matrix.shape, str(matrix.dtype), dict(request.roles), request.missing]
    if request.classes:
        recipes, classes = storeroles.with_classes(recipes)
        schema.append(classes)
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
        n_scans=int(request.classes),
        fold_key=request.roles.get("fold_key"),
        classes=recipes[0].shared.classes if recipes else None,
    )


def _holds_npy(path: str) -> bool:
    return os.path.isdir(path) and any(name.endswith(".npy") for name in os.listdir(path))
