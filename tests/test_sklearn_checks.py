"""scikit-learn's contract: its checks of estimators, and its own tests of coordinate descent."""

from __future__ import annotations

import pytest
import sklearn_suite
from sklearn.utils.estimator_checks import parametrize_with_checks

from distreg import (
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    HuberRegressorCV,
    Lasso,
    LassoCV,
    LinearSVC,
    LinearSVCCV,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    PoissonRegressorCV,
    QuantileRegressor,
    QuantileRegressorCV,
    Ridge,
    RidgeCV,
    StabilitySelection,
)

ESTIMATORS = [Ridge(), Lasso(), ElasticNet(), RidgeCV(), LassoCV(), ElasticNetCV()]
ESTIMATORS += [LogisticRegression(), LinearSVC(), PoissonRegressor(), HuberRegressor()]
ESTIMATORS += [HuberRegressorCV(n_alphas=5)]
ESTIMATORS += [QuantileRegressor(), QuantileRegressorCV(n_alphas=5)]
ESTIMATORS += [LinearSVC(loss="hinge"), LinearSVCCV(loss="hinge", n_alphas=5)]
# few alphas for the time that it takes: there are 60 checks or so of each
ESTIMATORS += [kind(n_alphas=5) for kind in (LogisticRegressionCV, LinearSVCCV, PoissonRegressorCV)]
# so that a feature or two of the checks' small data are selected
ESTIMATORS += [StabilitySelection(n_pairs=2, n_alphas=5, max_features=20, random_state=0)]


def expected_failures(estimator):
    """Halves are dealt by row number, so a row twice is not a row of weight 2."""
    if not isinstance(estimator, StabilitySelection):
        return {}
    names = (f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse"))
    return dict.fromkeys(names, "halves are of equally many rows")


# scikit-learn skips a check with a warning where an optional setting is off
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:No features were selected")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_estimator_checks(estimator, check):
    check(estimator)


# Of 289 cases 265 pass. The others ask for effects of keywords that have none here
# (warm_start, precompute, copy_X, check_input, max_iter), for
# several targets, float32 coefficients, scikit-learn's refusal of l1_ratio=0 or of `groups`, for
# one particular dual point, or compare with a fit of scikit-learn's that stops early.
LEAST_PASSED = 265


@pytest.mark.timeout(600)
def test_scikit_learns_own_tests_of_coordinate_descent():
    score = sklearn_suite.run()
    assert len(score.passed) >= LEAST_PASSED, score.failed
