"""scikit-learn's contract: its checks of estimators, and its own tests of coordinate descent."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from distreg import ElasticNet, ElasticNetCV, Lasso, LassoCV, Ridge, RidgeCV

ESTIMATORS = [
    Ridge(),
    Lasso(),
    ElasticNet(),
    RidgeCV(),
    LassoCV(),
    ElasticNetCV(),
]

NOT_EXPECTED: dict[str, str] = {}


@pytest.mark.filterwarnings("default")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: NOT_EXPECTED)
def test_estimator_checks(estimator, check):
    check(estimator)
