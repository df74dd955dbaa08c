"""Where requests are evaluated, and what a fit may use of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distreg.evaluation import Evaluate, Evaluation, Request, evaluation
from distreg.glm.pace import Tolerance
from distreg.options import PathOptions, most_passes
from distreg.passes import PassRunner
from distreg.summary import Sample

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["Where"]


@dataclass(frozen=True)
class Where:
    """Rows that requests are evaluated on: all of them by passes, and a sample in memory."""

    by_pass: Evaluate
    sample: Sample
    runner: PassRunner
    tolerance: Tolerance
    most: int

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        cells: Cells,
        sample: Sample,
        options: PathOptions,
        runner: PassRunner,
    ) -> Where:
        """The rows of a data set, and what the options allow."""

        def by_pass(request: Request) -> Evaluation:
            return runner.run(evaluation(dataset, cells, request), dataset)

        tolerance = Tolerance(options.kkt_tolerance, options.tol)
        return cls(by_pass, sample, runner, tolerance, most_passes(options))

    @property
    def n_passes(self) -> int:
        """Passes that may still be used."""
        return self.most - self.runner.cost.n_passes
