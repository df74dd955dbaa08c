"""Plans: sizes that follow from the data, and a refusal that names settings which would do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from distreg.cluster import Resources
from distreg.data.block import Group
from distreg.data.folds import ShuffledKFold, TestSplit, make_cells
from distreg.exceptions import ConfigError, InputError
from distreg.glm.anchors import FEATURE_BYTES, N_ANCHORS
from distreg.pipeline.config import PipelineConfig, apply_settings, build_config
from distreg.pipeline.document import Document
from distreg.pipeline.plan import Plan, check_fits, make_plan

GB = 1_000_000_000


class Recipe:
    """Size of a block."""

    def __init__(self, nbytes: int, inputs: tuple[Any, ...] = (), n_rows: int = 1563) -> None:
        self.nbytes, self.inputs, self.n_rows = nbytes, inputs, n_rows


class Sizes:
    """What a plan asks of a data set."""

    def __init__(
        self,
        n_dense: int,
        n_sparse: int = 0,
        missing: str = "error",
        n_groups: int = 16,
        classes: tuple[Any, ...] | None = None,
    ) -> None:
        self.classes = classes
        recipes = tuple(Recipe(8_000_000) for _ in range(4))
        self.n_dense, self.n_sparse, self.missing = n_dense, n_sparse, missing
        self.n_features = n_dense + n_sparse
        self.n_rows, self.n_scans = 100_000, 1
        self.groups = tuple(Group(i, recipes) for i in range(n_groups))
        self.recipes = recipes * n_groups
        self.n_blocks = len(self.recipes)
        self.nbytes = sum(recipe.nbytes for recipe in self.recipes)


def config_of(*settings: str) -> PipelineConfig:
    document = Document()
    apply_settings(document, ["data.path=a", "data.target=y", *settings])
    return build_config(document)


def plan_of(sizes: Sizes, resources: Resources, *settings: str) -> tuple[Plan, PipelineConfig]:
    config = config_of(*settings)
    test = None if config.test is None else TestSplit(config.test.fraction)
    cells = make_cells(ShuffledKFold(config.model.cv.folds), sizes.n_rows, test)
    return make_plan(config, sizes, cells, resources), config


LOCAL = Resources(workers=0, threads=2, memory_limit=8 * GB, client_limit=8 * GB, client_threads=2)
CLUSTER = Resources(
    workers=4, threads=1, memory_limit=2 * GB, client_limit=8 * GB, client_threads=2
)


def test_counts() -> None:
    plan, _ = plan_of(Sizes(20), LOCAL, "model.n_alphas=50", "model.l1_ratio=[0.1, 0.5]")
    assert (plan.driver, plan.n_passes, plan.n_scans) == ("gram", 1, 1)
    assert plan.n_fits == 4 * 50 * 6
    assert plan.bytes_read == 16 * 4 * 8_000_000
    assert plan.block_bytes == 8_000_000
    assert plan.n_blocks == 64
    assert plan.n_groups == 16
    assert plan.state_bytes == 5 * 22 * 22 * 8
    assert plan.local
    assert plan.fits
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    assert plan_of(Sizes(20), LOCAL, "model.alphas=[1, 2]", "model.penalties=l1")[0].n_fits == 12


def test_memory_follows_the_state() -> None:
    small, _ = plan_of(Sizes(100), LOCAL)
    large, _ = plan_of(Sizes(2000), LOCAL)
    assert large.state_bytes > 300 * small.state_bytes
    assert large.peak_bytes > small.peak_bytes
    with_test, _ = plan_of(Sizes(100), LOCAL, "test=0.2")
    assert with_test.state_bytes == small.state_bytes * 6 / 5
    gaps, _ = plan_of(Sizes(100, missing="mean"), LOCAL)
    assert gaps.state_bytes > 3 * small.state_bytes
    folds, _ = plan_of(Sizes(100), LOCAL, "model.cv=10")
    assert folds.state_bytes == 2 * small.state_bytes


def test_workers_are_planned_apart_from_the_client() -> None:
    plan, _ = plan_of(Sizes(1000), CLUSTER)
    assert not plan.local
    assert plan.workers == 4
    assert plan.client_bytes != plan.peak_bytes
    local, _ = plan_of(Sizes(1000), LOCAL)
    assert local.client_bytes == local.peak_bytes
    more, _ = plan_of(Sizes(1000), Resources(4, 4, 2 * GB, 8 * GB, 2))
    assert more.peak_bytes > plan.peak_bytes


@pytest.mark.parametrize(
    ("n_features", "resources", "settings", "remedy"),
    [
        (4500, CLUSTER, ["cluster.kind=processes", "model.cv=10"], "cluster.memory_limit"),
        (5000, CLUSTER, ["cluster.address=tcp://h:1"], "workers with"),
        (9000, LOCAL, ["model.cv=10"], "at most"),
        (4000, Resources(0, 8, 8 * GB, 8 * GB, 8), ["model.cv=5"], "cluster.workers"),
    ],
)
def test_what_does_not_fit_is_refused(
    n_features: int, resources: Resources, settings: list[str], remedy: str
) -> None:
    plan, config = plan_of(Sizes(n_features), resources, *settings)
    assert not plan.fits
    with pytest.raises(ConfigError) as caught:
        check_fits(plan, config)
    said = str(caught.value)
    assert f"{n_features:,} features" in said
    assert remedy in said


@pytest.mark.parametrize("n_features", [3000, 4000, 6000])
@pytest.mark.parametrize("resources", [LOCAL, Resources(0, 8, 8 * GB, 8 * GB, 8)])
def test_each_proposed_setting_would_do(n_features: int, resources: Resources) -> None:
    plan, config = plan_of(Sizes(n_features), resources, "model.cv=20")
    if plan.fits:
        check_fits(plan, config)
        return
    with pytest.raises(ConfigError) as caught:
        check_fits(plan, config)
    said = str(caught.value)
    for setting in re.findall(r"--set ([\w.]+=\d+)", said):
        key, value = setting.split("=")
        threads = int(value) if key == "cluster.workers" else resources.threads
        offered = Resources(0, threads, resources.memory_limit, resources.client_limit, threads)
        again, config = plan_of(Sizes(n_features), offered, "model.cv=20", setting)
        check_fits(again, config)
    features = int(re.findall(r"at most ([\d,]+) features", said)[0].replace(",", ""))
    check_fits(*plan_of(Sizes(features), resources, "model.cv=20"))


def test_a_plan_in_words() -> None:
    plan, _ = plan_of(Sizes(20), CLUSTER, "test=0.2")
    text = "\n".join(plan.lines())
    for words in ("100,000 rows, 20 features", "1 pass", "1,800 fits", "each of 4 workers", "yes"):
        assert words in text
    assert all(len(line) < 160 for line in plan.lines())


# --- losses that need several passes --------------------------------------------------------------
def glm(sizes: Sizes, loss: str, *settings: str, resources: Resources = LOCAL) -> Plan:
    return plan_of(sizes, resources, f"model.loss={loss}", *settings)[0]


def test_passes_of_other_losses() -> None:
    plan = glm(Sizes(20), "poisson", "test=0.2")
    assert (plan.driver, plan.fewest_passes, plan.n_passes) == ("newton", 5, 10)
    assert (plan.max_passes, plan.test_passes) == (100, 0)
    assert plan.bytes_read == 10 * 16 * 4 * 8_000_000
    said = "\n".join(plan.lines())
    assert "about 5 to 10 passes, at most 100 (model.max_passes), over the data" in said
    assert "Driver   newton: poisson loss: every pass serves all of the 1,800 fits" in said
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()


def test_test_rows_of_classes_cost_a_pass() -> None:
    sizes = Sizes(20, classes=(0, 1))
    assert glm(sizes, "logistic").n_passes == 10
    plan = glm(sizes, "logistic", "test=0.2")
    assert (plan.n_passes, plan.test_passes) == (11, 1)
    assert plan.bytes_read == 11 * 16 * 4 * 8_000_000
    assert "(model.max_passes), and 1 for the test rows, over" in "\n".join(plan.lines())


@pytest.mark.parametrize(("most", "words"), [(8, "5 to 8"), (5, "about 5 passes"), (50, "5 to 10")])
def test_max_passes_bounds_what_is_usual(most: int, words: str) -> None:
    plan = glm(Sizes(20), "poisson", f"model.max_passes={most}")
    assert plan.max_passes == most
    assert plan.n_passes == min(most, 10)
    said = "\n".join(plan.lines())
    assert words in said
    assert f"at most {most} (model.max_passes)" in said


def test_memory_of_other_losses() -> None:
    """Gradients: features x fits x classes. Curvature: anchors x Gram matrices x class pairs."""
    anchors = N_ANCHORS * 3 * 6  # three penalties; of all training sets, as so few features allow
    plan = glm(Sizes(20), "poisson", "model.n_alphas=50")
    assert plan.state_bytes == 8 * 20 * 3 * 50 * 6 + anchors * (5 * 21 * 21 * 8)
    one_step = glm(Sizes(20), "poisson", "model.n_alphas=50", "model.cv=approx")
    assert one_step.state_bytes - plan.state_bytes == 3 * 3 * 6 * (5 * 21 * 21 * 8)
    classes = glm(Sizes(20, classes=(1, 2, 3)), "multinomial", "model.n_alphas=50")
    assert classes.state_bytes == 8 * 20 * 3 * 50 * 6 * 3 + anchors * 6 * (5 * 21 * 21 * 8)
    large = glm(Sizes(400), "poisson")
    assert large.client_bytes > large.state_bytes > plan.state_bytes
    apart = glm(Sizes(400), "poisson", resources=CLUSTER)
    assert apart.peak_bytes < large.peak_bytes
    folds = glm(Sizes(400), "poisson", "model.cv=10", resources=CLUSTER)
    base = 350_000_000
    assert folds.client_bytes - base > 1.5 * (apart.client_bytes - base)


@pytest.mark.parametrize(
    ("loss", "n_classes", "n_features"),
    [
        ("logistic", 2, 3400),
        ("logistic", 2, 3800),
        ("multinomial", 2, 1200),
        ("multinomial", 2, 1900),
        ("multinomial", 3, 800),
        ("multinomial", 3, 1900),
    ],
)
def test_each_proposed_setting_would_do_for_other_losses(
    loss: str, n_classes: int, n_features: int
) -> None:
    classes = tuple("abc"[:n_classes])
    sizes = Sizes(n_features, classes=classes)
    plan, config = plan_of(sizes, LOCAL, "model.cv=20", f"model.loss={loss}")
    assert not plan.fits
    with pytest.raises(ConfigError, match="gradients and curvatures") as caught:
        check_fits(plan, config)
    said = str(caught.value)
    assert f"{n_features:,} features" in said
    for key, value in re.findall(r"--set ([\w.]+)=(\d+)", said):
        threads = int(value) if key == "cluster.workers" else LOCAL.threads
        offered = Resources(0, threads, LOCAL.memory_limit, LOCAL.client_limit, threads)
        settings = (f"model.loss={loss}", "model.cv=20", f"{key}={value}")
        check_fits(*plan_of(sizes, offered, *settings))
    features = int(re.findall(r"at most ([\d,]+) features", said)[0].replace(",", ""))
    fewer = Sizes(features, classes=classes)
    check_fits(*plan_of(fewer, LOCAL, "model.cv=20", f"model.loss={loss}"))


def test_many_features_are_planned_with_a_working_set() -> None:
    plan = glm(Sizes(50_000), "logistic", "model.penalties=l1")
    assert plan.memory.wide
    # gradients of a batch, and curvature of no more features than the budget allows
    assert plan.state_bytes < 64_000_000 + 1.01 * FEATURE_BYTES
    assert plan.peak_bytes < 5 * GB
    with pytest.raises(InputError, match="pure L2 penalty"):
        glm(Sizes(50_000), "logistic")


def test_losses_with_a_kink_go_by_rounds() -> None:
    settings = ("model.loss=quantile", "model.penalties=[l1]", "model.n_alphas=10")
    plan, _ = plan_of(Sizes(20), LOCAL, *settings)
    squared, _ = plan_of(Sizes(20), LOCAL, *settings[1:])
    assert (plan.driver, plan.max_passes) == ("admm", 1000)
    # a number for each row and column: 10 alphas of the full data and 5 folds
    state = 8 * 100_000 * 10 * 6
    # and what tasks hold of the rows of a block
    assert state < plan.peak_bytes - squared.peak_bytes < 2 * state
    assert "48.0 MB of states" in plan.reason
