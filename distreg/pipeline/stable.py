"""The stability section: which features the fits to random halves of the data agree on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from distreg.cv import cross_validate
from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, make_cells
from distreg.data.halves import ComplementaryPairs, cells_for
from distreg.data.testsplit import TestSplit
from distreg.options import PathOptions, most_passes
from distreg.passes import PassRunner
from distreg.pipeline.config import PipelineConfig
from distreg.pipeline.modelconfig import StabilityConfig
from distreg.stability import Stability, stability

__all__ = ["N_ALPHAS", "about_stability", "halves_of", "select_stable"]

N_ALPHAS, LAST_ALPHA, TOLERANCE = 50, 0.05, 1e-4
"""Grid and tolerance of the halves: those of `StabilitySelection`."""


def halves_of(config: PipelineConfig, dataset: Dataset) -> Cells | None:
    """Cells of the halves and of the test rows; None when the pipeline has no such section."""
    if config.stability is None:
        return None
    test = None
    if config.test is not None:
        test = TestSplit(config.test.fraction, config.test.seed, config.test.kind)
    n_fit = dataset.n_rows - (0 if test is None else test.n_test(dataset.n_rows))
    asked = config.stability
    scheme = ComplementaryPairs(asked.n_pairs, cells_for(n_fit, dataset.n_features), asked.seed)
    return make_cells(scheme, dataset.n_rows, test)


def select_stable(
    config: PipelineConfig, dataset: Dataset, options: PathOptions, runner: PassRunner
) -> tuple[Stability, dict[str, Any]] | None:
    """Fit the halves, in passes of their own; what was found, and what the report says of it.

    They do not share the passes of the folds: their grid ends early, their tolerance is their own,
    and their cells beside those of the folds would multiply.
    """
    cells = halves_of(config, dataset)
    if cells is None or config.stability is None:
        return None
    asked, before = config.stability, runner.cost.n_passes
    result = cross_validate(
        # its metadata scans are counted already
        replace(dataset, n_scans=0),
        cells,
        replace(
            options,
            l1_ratios=(asked.l1_ratio,),
            alphas=None,
            n_alphas=N_ALPHAS,
            alpha_min_ratio=LAST_ALPHA,
            tol=TOLERANCE,
            approximate=False,
            relax=(),
            max_passes=before + (most_passes(options)),
        ),
        runner,
    )
    found = stability(result, asked.threshold, asked.max_features)
    about = about_stability(found, asked, result.feature_names)
    about |= {"n_passes": runner.cost.n_passes - before, "converged": result.converged}
    return found, about


def about_stability(
    found: Stability, asked: StabilityConfig, names: tuple[str, ...]
) -> dict[str, Any]:
    """What the report says, the selected features in order of their probability."""
    order = np.argsort(-found.probability, kind="stable")
    unimodal = found.expected_false_unimodal
    return {
        "n_pairs": asked.n_pairs,
        "threshold": found.threshold,
        "l1_ratio": asked.l1_ratio,
        "max_features": found.max_features,
        "mean_selected": found.n_selected,
        "n_alphas_used": found.n_used,
        "n_candidates": found.n_candidates,
        "expected_false": found.expected_false,
        "expected_false_unimodal": None if np.isnan(unimodal) else unimodal,
        "selected": [
            {"feature": names[j], "probability": float(found.probability[j])}
            for j in order
            if found.selected[j]
        ],
    }
