"""docker-compose.yml keeps the promises of docs/cluster.md; the pipelines shipped are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from distreg.pipeline.config import load_config

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert any(entry.startswith("/tmp:size=") for entry in service["tmpfs"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))
    assert not service["image"].endswith(":latest")
    assert "cluster" in service["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_interface_only(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert all(re.match(r"127\.0\.0\.1:\$\{DISTREG_\w+:-\d+\}:\d+$", port) for port in ports)
    if ports:  # an internal network publishes nothing
        assert "front" in SERVICES[name]["networks"]


def test_the_network_of_the_scheduler_has_no_way_out() -> None:
    assert COMPOSE["networks"]["cluster"]["internal"] is True
    assert not any(":8786" in port for port in SERVICES["scheduler"]["ports"])


@pytest.mark.parametrize("name", [n for n in SERVICES if n != "cli"])
def test_served_roles_are_checked_where_they_listen(name: str) -> None:
    service = SERVICES[name]
    port = re.search(r"127\.0\.0\.1:(\d+)/health", service["environment"]["DISTREG_HEALTH_URL"])
    assert port is not None
    assert re.search(rf"(:|--port ){port[1]}\b", service["command"])
    assert service["healthcheck"]["test"] == ["CMD", "healthcheck"]


def test_mlflow_answers_its_published_name_with_the_port() -> None:
    command = SERVICES["mlflow"]["command"]
    assert "mlflow:5000,localhost:${DISTREG_MLFLOW_PORT:-5000}" in command


def test_every_variable_is_documented() -> None:
    used = set(re.findall(r"\$\{(DISTREG_\w+)", (ROOT / "docker-compose.yml").read_text()))
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert used
    assert used == set(re.findall(r"^\| `(DISTREG_\w+)`", page, flags=re.M))


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_pipelines_are_valid(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert set(config.model.l1_ratios) >= {"l1", "l2"}
