"""The recipes: that they are well formed, fit what the package has, and say the same as each other."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedeck._cli.verbs import verbs
from bedeck._serve.exposition import METRICS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
OPTIONS = {option for parameter in verbs.commands["serve"].params for option in parameter.opts}
NAMES = {
    name + suffix
    for name, (kind, _) in METRICS.items()
    for suffix in (["_bucket", "_sum", "_count"] if kind == "histogram" else [""])
}
INSTRUCTIONS = set("FROM RUN COPY WORKDIR ENV USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK CMD ENTRYPOINT".split())  # noqa: SIM905


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def pod() -> dict[str, Any]:
    found: dict[str, Any] = documents()[0]["spec"]["template"]["spec"]
    return found


def used(expression: str) -> set[str]:
    """The metrics of an expression."""
    return set(re.findall(r"\bbedeck_[a-z_]+", expression))


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_is_built_of_what_is_there():
    found = instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS
    given = dict(found)
    assert found[0][0] == "FROM"
    assert json.loads(given["ENTRYPOINT"])[:2] == ["bedeck", "serve"]
    assert set(re.findall(r"--[a-z-]+", given["ENTRYPOINT"])) <= OPTIONS
    assert int(given["USER"]) > 0
    assert given["EXPOSE"] in given["ENTRYPOINT"]
    rust = re.search(r"rust:([0-9.]+)", found[0][1])
    least = re.search(r'rust-version = "([0-9.]+)"', (ROOT / "Cargo.toml").read_text())
    assert rust
    assert least
    assert [int(part) for part in rust[1].split(".")] >= [int(part) for part in least[1].split(".")]
    extras = re.search(
        r"\[([a-z,]+)\]", next(rest for name, rest in found if "pip install" in rest and "wheel" in rest)
    )
    assert extras
    assert all(f"{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras[1].split(","))


def test_shell_of_the_container_is_well_formed():
    for name, rest in instructions():
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)  # noqa: S603, S607 - parsed, not run


def test_the_unit_starts_and_replaces_and_ends_it():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "bedeck.service")
    service = unit["Service"]
    assert "bedeck serve" in service["ExecStart"]
    assert set(re.findall(r"--[a-z-]+", service["ExecStart"])) <= OPTIONS
    drain = re.search(r"--drain (\d+)", service["ExecStart"])
    assert drain
    assert int(service["TimeoutStopSec"]) > int(drain[1]) + 2
    assert "-HUP" in service["ExecReload"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path):
    text = (DEPLOY / "bedeck.service").read_text().replace("/opt/bedeck/bin/bedeck", "/bin/true")
    (tmp_path / "bedeck.service").write_text(text)
    done = subprocess.run(  # noqa: S603 - ours
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "bedeck.service")],  # noqa: S607 - wherever it is
        capture_output=True,
        text=True,
        check=False,
    )
    assert "bedeck.service" not in done.stderr, done.stderr


def test_kubernetes_gets_what_it_needs():
    deployment, service, budget = documents()
    assert [of["kind"] for of in (deployment, service, budget)] == ["Deployment", "Service", "PodDisruptionBudget"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (container,) = pod()["containers"]
    assert {argument for argument in container["args"] if argument.startswith("--")} <= OPTIONS
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    ports = {of["name"]: of["containerPort"] for of in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    mounted = {of["name"] for of in container["volumeMounts"]}
    assert mounted == {of["name"] for of in pod()["volumes"]}


def test_nobody_is_killed_before_the_end():
    (container,) = pod()["containers"]
    drain = int(container["args"][container["args"].index("--drain") + 1])
    assert pod()["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + drain + 2


def test_the_dashboard_shows_metrics_that_there_are():
    board = json.loads((DEPLOY / "grafana.json").read_text())
    shown = {name for panel in board["panels"] for target in panel["targets"] for name in used(target["expr"])}
    assert shown <= NAMES
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["expr"].count("{") == target["expr"].count("}")


def test_alerts_are_about_metrics_that_there_are_and_documented():
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"][0]["rules"]
    manual = (ROOT / "docs" / "deploying.md").read_text()
    for rule in rules:
        assert used(rule["expr"]) <= NAMES
        assert used(rule["expr"])
        assert f"**{rule['alert']}**" in manual
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_manual_has_every_metric():
    manual = (ROOT / "docs" / "http.md").read_text().split("## Metrics")[1]
    told = set(re.findall(r"`(bedeck_[a-z_]+)", manual))
    short = set(re.findall(r"`(_[a-z_]+)`", manual))
    for name in METRICS:
        assert name in told or any(name.endswith(of) for of in short), name
