"""Runs scikit-learn's own tests of coordinate descent with distreg's classes in their place.

``python tests/sklearn_suite.py`` prints the score. The tests are those of the installed package;
only the names Lasso, ElasticNet, LassoCV and ElasticNetCV mean other classes when it imports them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SUITE = "sklearn.linear_model.tests.test_coordinate_descent"
SWAPPED = ("Lasso", "ElasticNet", "LassoCV", "ElasticNetCV")
RESULT_FILE = "DISTREG_SUITE_RESULT"


@dataclass(frozen=True)
class Score:
    """Names of the tests that passed and failed."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def n_tests(self) -> int:
        return len(self.passed) + len(self.failed)


def pytest_configure(config: object) -> None:
    """Swap the classes before pytest imports the tests; this file is a plugin of the subprocess."""
    if RESULT_FILE not in os.environ:
        return
    import sklearn.linear_model

    import distreg

    for name in SWAPPED:
        setattr(sklearn.linear_model, name, getattr(distreg, name))


OUTCOMES: dict[str, bool] = {}


def pytest_runtest_logreport(report) -> None:
    if report.when == "call" or report.outcome != "passed":
        name = report.nodeid.split("::", 1)[1]
        OUTCOMES[name] = OUTCOMES.get(name, True) and report.outcome == "passed"


def pytest_sessionfinish(session: object) -> None:
    target = os.environ.get(RESULT_FILE)
    if target:
        Path(target).write_text(json.dumps(OUTCOMES), encoding="utf-8")


def run(select: str = "") -> Score:
    """Run the suite in a process of its own, so that the swap ends with it."""
    here = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        paths = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            RESULT_FILE: str(result),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": "1",
            # scikit-learn's own fixture draws another one for each run
            "SKLEARN_SEED": "0",
        }
        command = [
            *(sys.executable, "-m", "pytest", "--pyargs", SUITE, "-p", here.stem, "-q"),
            *("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", folder, "--tb", "short"),
            *(["-k", select] if select else []),
        ]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if not result.exists():
            raise RuntimeError(f"the suite did not run:\n{done.stdout}\n{done.stderr}")
        outcomes: dict[str, bool] = json.loads(result.read_text(encoding="utf-8"))
    return Score(
        passed=tuple(name for name, good in outcomes.items() if good),
        failed=tuple(name for name, good in outcomes.items() if not good),
    )


def main() -> None:
    score = run(" ".join(sys.argv[1:]))
    lines = [f"{len(score.passed)} of {score.n_tests} passed", *score.failed]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
