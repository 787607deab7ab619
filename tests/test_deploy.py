"""deploy/: every recipe is what its reader takes, they agree with each other, and name nothing that there is not."""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import bedeck
from bedeck._cli.verbs import verbs
from bedeck._serve.exposition import METRICS, exposition
from bedeck._serve.message import REASONS
from bedeck._serve.metrics import Block
from bedeck._serve.route import ROUTES
from commands import ended

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent

SERVE = verbs.commands["serve"]
PATHS = {"/livez", "/readyz", "/metrics"}


def options(*arguments: str) -> SimpleNamespace:
    """What `bedeck serve` makes of arguments."""
    return SimpleNamespace(**SERVE.make_context("serve", [*arguments]).params)


def run(*command: str | Path) -> str:
    """What a command says, which has to be content."""
    done = ended(*command, cwd=ROOT, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def tool(name: str) -> str:
    """A program that comes with a system and not with Python; the test is skipped where there is none."""
    found = shutil.which(name)
    return found or pytest.skip(f"{name} is not installed")


# Dockerfile


def instructions(text: str) -> list[tuple[str, str]]:
    """Those of a Dockerfile, each with what it is about."""
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "").splitlines()
    return [(name, value) for name, _, value in (line.partition(" ") for line in lines if line)]


INSTRUCTIONS = instructions((DEPLOY / "Dockerfile").read_text())
LAST = max(place for place, (instruction, _) in enumerate(INSTRUCTIONS) if instruction == "FROM")
IMAGE = dict(INSTRUCTIONS[LAST:])
ENTRYPOINT = json.loads(IMAGE["ENTRYPOINT"])
USER = IMAGE["USER"].partition(":")[0]
HADOLINT = (TOOLS / "hadolint", "--failure-threshold", "style")


def test_hadolint_finds_nothing_in_the_dockerfile():
    assert not run(*HADOLINT, DEPLOY / "Dockerfile")


def test_hadolint_finds_what_there_is_to_find(tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /srv && pip install bedeck\nCMD bedeck serve /store\n")
    with pytest.raises(AssertionError, match=r"(?s)DL3006.*DL3003.*DL3042.*DL3025"):
        run(*HADOLINT, tmp_path / "Dockerfile")


def test_the_image_serves_as_nobody_in_particular_and_ends_in_order():
    assert ENTRYPOINT[:2] == ["bedeck", "serve"]
    assert int(USER) > 0
    assert (IMAGE["EXPOSE"], IMAGE["STOPSIGNAL"], IMAGE["VOLUME"]) == ("8000", "SIGTERM", "/var/cache/bedeck")
    assert "XDG_CACHE_HOME=/var/cache " in IMAGE["ENV"]


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_of_a_container_is_asked_for_by_python(status: int):
    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    python, *arguments = json.loads(IMAGE["HEALTHCHECK"].partition("CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        given = [each.replace("8000", str(server.server_port)) for each in arguments]
        done = ended(sys.executable, *given, env=os.environ | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""})
    assert python == "python"
    assert done.returncode == (status != 200)


def test_the_image_has_what_the_project_asks_for():
    arguments = dict(value.split("=") for instruction, value in INSTRUCTIONS if instruction == "ARG")
    least = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = (re.findall(r"'\.\[([\w,]+)\]'", value) for _, value in INSTRUCTIONS if "pip wheel" in value)
    assert set(extras[0].split(",")) <= project["optional-dependencies"].keys()
    assert [*map(int, arguments["RUST"].split("."))] >= [*map(int, least.split("."))]
    assert f"Programming Language :: Python :: {arguments['PYTHON']}" in project["classifiers"]


def test_the_context_of_the_build_has_what_the_build_reads():
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert all((ROOT / path).exists() for path in let_in)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = ["Cargo.toml", "Cargo.lock", "pyproject.toml", "requirements-dev.lock"]
    needed += [project["tool"]["maturin"]["python-source"], project["project"]["readme"]]
    needed += project["project"]["license-files"]
    needed += tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    assert [path for path in needed if not any(path == top or path.startswith(f"{top}/") for top in let_in)] == []


def test_the_versions_that_are_built_in_are_those_of_the_lock(tmp_path: Path):
    (command,) = (value for instruction, value in INSTRUCTIONS if instruction == "RUN" and ".lock" in value)
    written = tmp_path / "constraints.txt"
    run("sh", "-c", command.replace("/constraints.txt", str(written)))
    pinned = written.read_text().splitlines()
    assert len(pinned) == len(re.findall(r"^\S+==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+( ; .*\w\S*)?", line) for line in pinned)


# systemd


class Unit(configparser.RawConfigParser):
    """A unit file: the case of its names matters, and some come twice."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


UNIT = Unit(strict=False)
UNIT.read(DEPLOY / "bedeck.service")
SERVICE = UNIT["Service"]
STARTED = shlex.split(SERVICE["ExecStart"].replace("\\\n", " "))
VERIFY = ("verify", "--man=no", "--recursive-errors=no")
SECURITY = ("security", "--offline=yes", "--threshold=25")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    program, text = SERVICE["ExecStart"].split()[0], (DEPLOY / "bedeck.service").read_text()
    path = tmp_path / "bedeck.service"
    path.write_text(text.replace(program, shutil.which("true") or ""))
    return path


def test_systemd_takes_the_unit(unit: Path):
    said = run(tool("systemd-analyze"), *VERIFY, unit)
    assert "bedeck.service" not in said


def test_systemd_finds_little_exposed(unit: Path):
    run(tool("systemd-analyze"), *SECURITY, unit)


def test_systemd_finds_what_there_is_to_find(unit: Path):
    text = unit.read_text()
    unit.write_text(text.replace("Restart=on-failure", "Restart=sometimes"))
    with pytest.raises(AssertionError, match="sometimes"):
        run(tool("systemd-analyze"), *VERIFY, unit)
    unit.write_text(text.replace("DynamicUser=yes", "").replace("CapabilityBoundingSet=", ""))
    with pytest.raises(AssertionError):
        run(tool("systemd-analyze"), *SECURITY, unit)


def test_the_unit_may_ask_what_is_in_memory():
    allowed = re.findall(r"^SystemCallFilter=([^~].*)", (DEPLOY / "bedeck.service").read_text(), re.MULTILINE)
    assert [of.split() for of in allowed] == [["@system-service", "mincore"]]


def test_the_unit_starts_a_service():
    program, verb, *arguments = STARTED
    given = options(*arguments)
    assert (Path(program).name, verb, given.store) == ("bedeck", "serve", "${BEDECK_STORE}")
    assert given.cache == f"%C/{SERVICE['CacheDirectory']}"
    assert float(SERVICE["TimeoutStopSec"]) > given.linger + given.drain + 2
    assert (SERVICE["Type"], SERVICE["DynamicUser"], SERVICE["LimitMEMLOCK"]) == ("exec", "yes", "infinity")
    assert SERVICE["ExecReload"].endswith("kill -HUP $MAINPID")


# Kubernetes

MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
BY_KIND = {manifest["kind"]: manifest for manifest in MANIFESTS}
POD = BY_KIND["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
LABELS = {"app.kubernetes.io/name": "bedeck"}
SIZES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any]):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_what_kubernetes_does_not_take_is_found():
    for wrong in ({"replicas": "three"}, {"replica": 3}):
        manifest = {**BY_KIND["Deployment"], "spec": {**BY_KIND["Deployment"]["spec"], **wrong}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_everything_selects_the_pods():
    assert POD["metadata"]["labels"] == LABELS
    assert BY_KIND["Service"]["spec"]["selector"] == LABELS
    spreads = [spread["labelSelector"] for spread in POD["spec"]["topologySpreadConstraints"]]
    budget = BY_KIND["PodDisruptionBudget"]["spec"]["selector"]
    for selector in (BY_KIND["Deployment"]["spec"]["selector"], budget, *spreads):
        assert selector == {"matchLabels": LABELS}
    assert POD["spec"]["serviceAccountName"] == BY_KIND["ServiceAccount"]["metadata"]["name"]


def test_the_pod_starts_a_service():
    given = options(*ENTRYPOINT[2:], *CONTAINER["args"])
    (port,) = CONTAINER["ports"]
    assert ip_address(given.host).is_unspecified  # a container has a network of its own
    assert given.port == port["containerPort"] == int(POD["metadata"]["annotations"]["prometheus.io/port"])
    sleep = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > sleep + given.linger + given.drain + 2


def test_probes_ask_what_a_service_answers():
    asked = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert [probe["path"] for probe in asked.values()] == ["/readyz", "/readyz", "/livez"]
    assert {probe["port"] for probe in asked.values()} == {CONTAINER["ports"][0]["name"]}
    startup = CONTAINER["startupProbe"]
    allowed = startup["periodSeconds"] * startup["failureThreshold"]
    assert BY_KIND["Deployment"]["spec"]["progressDeadlineSeconds"] > allowed
    assert POD["metadata"]["annotations"]["prometheus.io/path"] in PATHS


def size(text: str) -> int:
    return int(text[:-2]) * SIZES[text[-2:]]


def test_memory_is_what_the_comment_computes():
    text = (DEPLOY / "kubernetes.yaml").read_text()
    (gigabytes,) = re.findall(r"`bedeck info` says, ([\d.]+) GB here", text)
    limit = size(CONTAINER["resources"]["limits"]["memory"])
    workers = options(*CONTAINER["args"]).workers
    assert CONTAINER["resources"]["requests"]["memory"] == CONTAINER["resources"]["limits"]["memory"]
    assert 0 <= limit - (float(gigabytes) * 1e9 * 2 + workers * 128 * 2**20) < 2**30


def test_containers_may_do_nothing_but_their_own():
    assert str(POD["spec"]["securityContext"]["runAsUser"]) == USER
    assert POD["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"  # marks have times of change
    volumes = {volume["name"] for volume in POD["spec"]["volumes"]}
    for container in (CONTAINER, *POD["spec"]["initContainers"]):
        assert container["image"] == f"registry.example.com/bedeck:{bedeck.__version__}"
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"]["drop"] == ["ALL"]
    assert IMAGE["VOLUME"] in [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]


def test_the_monitor_finds_the_service():
    monitor = yaml.safe_load((DEPLOY / "servicemonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"] == BY_KIND["Service"]["metadata"]["labels"]
    assert endpoint["port"] in [port["name"] for port in BY_KIND["Service"]["spec"]["ports"]]
    assert endpoint["path"] in PATHS


# Prometheus and Grafana

RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
CASES = ROOT / "tests" / "alerts.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
OF_GRAFANA = {"__rate_interval": "1m"}


def queries() -> Iterator[tuple[str, str]]:
    """All that Prometheus is asked, and for what."""
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from ((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"])
    yield from ((annotation["name"], annotation["expr"]) for annotation in DASHBOARD["annotations"]["list"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            (selector,) = re.findall(r"^label_values\((.+), \w+\)$", variable["query"]["query"])
            yield variable["name"], selector


def value_of(variable: re.Match[str]) -> str:
    name = variable[1]
    assert name in VARIABLES | set(OF_GRAFANA), name
    return OF_GRAFANA.get(name, ".*")


def exposed() -> dict[str, dict[str, set[str]]]:
    """What a service tells: by name, the labels, and their values."""
    block = Block(1)
    for route, code in product(range(len(ROUTES)), REASONS):
        block.slots[0].answered(route, code, 0.001, 1)
    found: dict[str, dict[str, set[str]]] = {"up": {}}
    for family in text_string_to_metric_families(exposition(block).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


EXPOSED = exposed()
OF_TARGETS = {"job", "instance"}


def unknown(expression: str) -> list[str]:
    """What an expression asks for, and no service has: metrics, labels, and values of labels."""
    found: list[str] = []
    labels: set[str] = set()
    grouped: list[str] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            known = EXPOSED.get(node.name or "")
            if known is None:
                found.append(str(node.name))
                return
            labels.update(known)
            found.extend(
                f"{node.name} {matcher.name} {matcher.value}"
                for matcher in node.matchers.matchers
                if matcher.name not in OF_TARGETS
                and not any(matches(matcher, value) for value in known.get(matcher.name, ()))
            )
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            grouped.extend(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(re.sub(r"\$(\w+)", value_of, expression)), pre_visit=visit)
    return found + [label for label in grouped if label not in labels | OF_TARGETS]


def matches(matcher: promql_parser.Matcher, value: str) -> bool:
    """Whether a value is one that a matcher names, be it to have it or to leave it out."""
    if matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe):
        return bool(re.fullmatch(matcher.value, value))
    return matcher.value == value


@pytest.mark.parametrize("expression", [pytest.param(query, id=name) for name, query in queries()])
def test_prometheus_is_asked_for_what_there_is(expression: str):
    assert unknown(expression) == []


def test_what_there_is_not_is_found():
    asked = "sum by (x) (rate(a[1m])) / on (x) histogram_quantile(0.5, b_bucket{c='d'}) or max_over_time(up[1h:1m])"
    assert unknown(asked) == ["a", "b_bucket", "x"]
    assert unknown('sum without (route, reason) (bedeck_http_requests_total{route!="list"})') == ["reason"]
    assert unknown('bedeck_http_requests_total{route="lists"}') == ["bedeck_http_requests_total route lists"]
    assert unknown('bedeck_http_requests_total{code=~"6.."}') == ["bedeck_http_requests_total code 6.."]
    assert unknown('bedeck_workers{route="list"}') == ["bedeck_workers route list"]
    assert unknown("bedeck_http_request_duration_seconds") == ["bedeck_http_request_duration_seconds"]
    with pytest.raises(AssertionError):
        unknown('up{job="$jbo"}')
    with pytest.raises(ValueError, match=r"."):
        unknown("sum(up")


def test_legends_have_labels_that_are_kept():
    for target in (target for panel in PANELS for target in panel["targets"]):
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert re.search(rf"by \((\w+, )*{label}\b", target["expr"]), target["expr"]


def test_the_dashboard_can_be_imported():
    panels = DASHBOARD["panels"]
    assert DASHBOARD["schemaVersion"] >= 39
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in PANELS)
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), *DASHBOARD["annotations"]["list"]]
    assert all(each["datasource"] == source for each in asking)
    assert next(v["query"] for v in DASHBOARD["templating"]["list"] if v["name"] == "datasource") == "prometheus"


def test_no_panel_lies_on_another():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_where_and_what(rule: dict[str, Any]):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+m", rule["for"])
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert "$labels.instance" in rule["annotations"]["summary"] or rule["expr"].startswith("absent(")


def test_the_bound_of_the_alert_is_that_of_the_recipes():
    (slow,) = (rule["expr"] for rule in RULES if rule["alert"] == "BedeckSlow")
    pod, host = options(*CONTAINER["args"]), options(*STARTED[2:])
    assert {float(slow.split(">")[-1]) * 1000} == {pod.bound, host.bound}


def test_every_alert_is_tried_and_every_alert_is_explained():
    alerts = [rule["alert"] for rule in RULES]
    assert re.findall(r"^\| `(Bedeck\w+)` \|", (ROOT / "docs" / "deploying.md").read_text(), re.MULTILINE) == alerts
    well, *unwell = yaml.safe_load(CASES.read_text())["tests"]
    assert [case["alertname"] for case in well["alert_rule_test"]] == alerts
    assert [case["alertname"] for test in unwell for case in test["alert_rule_test"]] == alerts


def test_prometheus_takes_the_rules_and_tells_what_they_are_for():
    promtool = tool("promtool")
    run(promtool, "check", "rules", DEPLOY / "alerts.yaml")
    run(promtool, "test", "rules", CASES)


def test_the_manual_has_every_metric():
    manual = (ROOT / "docs" / "http.md").read_text().split("## Metrics")[1]
    told = set(re.findall(r"`(bedeck_[a-z_]+)", manual))
    short = set(re.findall(r"`(_[a-z_]+)`", manual))
    for name in METRICS:
        assert name in told or any(name.endswith(of) for of in short), name


def test_every_recipe_is_tried_here():
    text = Path(__file__).read_text()
    told = (ROOT / "docs" / "deploying.md").read_text()
    for path in DEPLOY.iterdir():
        assert f'"{path.name}"' in text
        assert f"../deploy/{path.name}" in told or path.suffix == ".dockerignore"
