"""Write a Parquet data set of any size without ever holding it.

Each row group is drawn from its own seed, so that the data set is the same on every machine and can
be made part by part. Files are written with the writer's defaults (Snappy, dictionaries), as most
files are; ``--plain`` writes uncompressed numbers, the hardest case for whoever computes on them,
because reading them is little more than a copy.

    python benchmarks/make_big_parquet.py benchmarks/data/big --gigabytes 4
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 20_000
GROUPS_PER_FILE = 32


def row_group(index: int, n_features: int, coef: np.ndarray, seed: int) -> pa.Table:
    """One row group: correlated features with different means and scales, and the target."""
    rng = np.random.default_rng([seed, index])
    common = rng.standard_normal((ROWS_PER_GROUP, 1))
    X = 0.5 * common + rng.standard_normal((ROWS_PER_GROUP, n_features))
    j = np.arange(n_features)
    X *= 10.0 ** (j % 4 - 1)
    X += (j % 7) * 10.0
    y = X @ coef + 5.0 * rng.standard_normal(ROWS_PER_GROUP)
    columns = {f"x{i:03d}": X[:, i] for i in j}
    return pa.table({"y": y, **columns})


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="decoded size, in 1e9 bytes")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="neither compressed nor encoded")
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    coef = rng.standard_normal(args.features) * (rng.random(args.features) < 0.3)
    coef /= 10.0 ** (np.arange(args.features) % 4 - 1)
    group_bytes = ROWS_PER_GROUP * (args.features + 1) * 8
    n_groups = max(1, round(args.gigabytes * 1e9 / group_bytes))

    encoding: dict[str, Any] = (
        {"compression": "none", "use_dictionary": False} if args.plain else {}
    )
    partial = args.folder.with_name(args.folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for first in range(0, n_groups, GROUPS_PER_FILE):
        path = partial / f"part-{first // GROUPS_PER_FILE:04d}.parquet"
        writer = None
        for index in range(first, min(first + GROUPS_PER_FILE, n_groups)):
            table = row_group(index, args.features, coef, args.seed)
            writer = writer or pq.ParquetWriter(path, table.schema, **encoding)
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        if writer is not None:
            writer.close()
    shutil.rmtree(args.folder, ignore_errors=True)
    partial.rename(args.folder)
    print(
        f"{args.folder}: {n_groups * ROWS_PER_GROUP:,} rows x {args.features} features, "
        f"{n_groups} row groups, {n_groups * group_bytes / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
