"""How much memory a run by rounds of alternating directions needs, from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from distreg.data.block import Group
from distreg.pipeline.memory import BASE_BYTES, BATCH_COPIES, Memory

__all__ = ["ConsensusMemory", "RoundsMemory"]

ROW_COPIES, RETURNED = 8, 4
"""Numbers of a row and fit that a task holds at once besides its states, and of a feature and fit
that it returns."""

EIGEN_COPIES = 6
"""Matrices of p x p numbers while products are decomposed."""


@dataclass(frozen=True)
class RoundsMemory(Memory):
    """What memory depends on, for alternating directions.

    Attributes
    ----------
    n_rows, n_ratios : int
        Rows, and paths (l1_ratios).
    blocks : tuple of tuples of int
        Rows of the blocks of each group.
    """

    n_rows: int = 0
    n_ratios: int = 1
    blocks: tuple[tuple[int, ...], ...] = ()

    def with_groups(self, groups: Sequence[Group]) -> Self:
        """With the blocks of some groups."""
        blocks = tuple(tuple(recipe.n_rows for recipe in group.recipes) for group in groups)
        return replace(self, blocks=blocks)

    def with_path(self, n_alphas: int) -> Self:
        """What one path of `n_alphas` needs."""
        return replace(self, n_paths=n_alphas, n_ratios=1)

    @property
    def n_numbers(self) -> int:
        """Numbers that a column has on the workers."""
        return self.n_rows

    @property
    def rows_state(self) -> int:
        """Bytes of the rows' states of a batch, a number for each column; all workers together."""
        from distreg.admm.crossval import STATE_BYTES

        per_alpha = 8 * self.n_numbers * self.n_ratios * (self.n_folds + 1)
        return max(min(per_alpha * (self.n_paths // self.n_ratios), STATE_BYTES), per_alpha)

    @property
    def kept(self) -> int:
        """Bytes that stay on the workers."""
        return self.rows_state

    @property
    def columns(self) -> int:
        """Fits of a batch."""
        return self.rows_state // max(8 * self.n_numbers, 1)

    @property
    def products(self) -> int:
        """Bytes of the products of all features."""
        return 8 * (self.n_dense + self.n_sparse + 1) ** 2

    @property
    def state(self) -> int:
        """Bytes of what a task returns: these or, of a batch, products, gradients, curvature."""
        returned = 8 * RETURNED * (self.n_dense + self.n_sparse + 1) * self.columns
        return max(self.products, returned)

    @property
    def worker(self) -> int:
        """One worker may have to hold all states; a task holds new ones and rows of a block."""
        rows = max((r for group in self.blocks for r in group), default=0)
        group = max(map(sum, self.blocks), default=0)
        busy = min(self.threads, max(self.n_groups, 1))
        each = 8 * self.columns * (ROW_COPIES * rows + group) + self.products
        return super().worker + self.kept + busy * each

    @property
    def client(self) -> int:
        """The products and their decomposition, all columns, and what is made of a batch."""
        p, n_fits = self.n_dense + self.n_sparse, self.n_paths * (self.n_folds + 1)
        columns = 8 * p * (3 * n_fits + BATCH_COPIES * self.columns)
        return BASE_BYTES + self.state + EIGEN_COPIES * self.products + columns


@dataclass(frozen=True)
class ConsensusMemory(RoundsMemory):
    """What memory depends on, for consensus, which has no products of all features."""

    @classmethod
    def of(cls, rounds: RoundsMemory) -> Self:
        """The same data by consensus."""
        return cls(**{f.name: getattr(rounds, f.name) for f in fields(rounds)})

    @property
    def products(self) -> int:
        """None."""
        return 0

    @property
    def n_numbers(self) -> int:
        """With the coefficients of the parts."""
        p = self.n_dense + self.n_sparse
        return self.n_rows + 2 * (p + 1) * len(self._widths)

    @property
    def kept(self) -> int:
        """With the Cholesky factors of all parts."""
        return self.rows_state + 8 * sum(width**2 for width in self._widths)

    @property
    def _widths(self) -> list[int]:
        """Sizes of these factors."""
        from distreg.admm.factor import widths

        p = self.n_dense + self.n_sparse
        return [width for rows in self.blocks for width in widths(rows, p)]
