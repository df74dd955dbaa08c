"""Weights of classes: they multiply the rows' weights where a block is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.data.dataset import Dataset, digest_of
from distreg.estimators import checks
from distreg.estimators.labels import some
from distreg.exceptions import InputError
from distreg.passes import PassRunner, Reduction

__all__ = ["check_class_weight", "class_factors", "with_class_weights"]


def check_class_weight(value: Any) -> None:
    """Check the keyword, before any data are read."""
    if isinstance(value, Mapping):
        for label, weight in value.items():
            checks.real(f"class_weight[{label!r}]", weight)
    elif value is not None and not (isinstance(value, str) and value == "balanced"):
        raise checks.ParameterTypeError(
            f"class_weight={value!r}: allowed are None, 'balanced', or a dict of one weight for "
            "each label"
        )


def class_factors(
    class_weight: Any, classes: Sequence[Any], dataset: Dataset, runner: PassRunner
) -> np.ndarray | None:
    """Factor of each class, (C,); None if all are 1.

    "balanced" is ``W / (C W_c)`` with the sums of the sample weights of all rows and of those of a
    class, as in scikit-learn; they take a pass of their own.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in classes]
        if unknown:
            raise InputError(
                f"class_weight names {some(unknown)}, but the labels in y are {some(classes)}: "
                "give the labels as they are in y"
            )
        return np.array([float(class_weight.get(label, 1.0)) for label in classes])
    n_classes = len(classes)
    reduction = Reduction(
        name="weights of the classes",
        chunk_of=partial(_chunk_of, n_classes),
        combine=np.add,
        finalize=np.asarray,
    )
    weight = runner.run(reduction, dataset)
    if not (weight > 0).all():
        empty = [label for label, sum_ in zip(classes, weight, strict=True) if not sum_ > 0]
        raise InputError(
            f"class_weight='balanced', but the rows of class {some(empty)} have no weight: remove "
            "these rows, or give the weights of the classes"
        )
    return np.asarray(weight.sum() / (n_classes * weight))


def with_class_weights(dataset: Dataset, factors: np.ndarray) -> Dataset:
    """The data set with the rows' weights multiplied by those of their classes."""
    groups = tuple(
        Group(group.index, tuple(ClassWeighted.of(recipe, factors) for recipe in group.recipes))
        for group in dataset.groups
    )
    digest = digest_of([dataset.digest, factors.tolist()], ())
    return replace(dataset, groups=groups, has_weight=True, digest=digest)


@dataclass(frozen=True, eq=False)
class ClassWeighted:
    """A recipe whose block's weights are multiplied by those of the classes.

    Attributes
    ----------
    recipe : BlockRecipe
        Makes the block; its own `inputs` are moved here.
    factors : (C,) array
    """

    recipe: Any
    factors: np.ndarray
    index: int
    row_start: int
    n_rows: int
    nbytes: int
    source: str
    inputs: tuple[Any, ...]

    @classmethod
    def of(cls, recipe: Any, factors: np.ndarray) -> ClassWeighted:
        """Wrap a recipe."""
        bare = replace(recipe, inputs=()) if recipe.inputs else recipe
        names = ("index", "row_start", "n_rows", "nbytes", "source", "inputs")
        return cls(bare, factors, *(getattr(recipe, name) for name in names))

    @property
    def stream_key(self) -> Any:
        """Storage unit that is decoded once for all of its recipes, or None."""
        return getattr(self.recipe, "stream_key", None)

    def load(self, *inputs: Any) -> Block:
        """Make the block."""
        return _weighted(self.recipe.load(*inputs), self.factors)

    def load_run(self, recipes: Sequence[ClassWeighted]) -> Iterator[Block]:
        """Blocks of recipes that share a storage unit."""
        for block in self.recipe.load_run(tuple(other.recipe for other in recipes)):
            yield _weighted(block, self.factors)


def _weighted(block: Block, factors: np.ndarray) -> Block:
    factor = factors[block.y.astype(np.intp)]
    return replace(block, weight=factor if block.weight is None else block.weight * factor)


def _chunk_of(n_classes: int, group: Group) -> Any:
    return partial(_class_sums, n_classes)


def _class_sums(n_classes: int, blocks: Iterator[Block]) -> np.ndarray:
    """Sums of the weights of each class, (C,)."""
    total = np.zeros(n_classes)
    for block in blocks:
        total += np.bincount(block.y.astype(np.intp), block.weight, n_classes)
    return total
