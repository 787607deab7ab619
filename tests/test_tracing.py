"""What OpenTelemetry is told, by a collector that keeps it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from commands import verb
from serving import publish, served

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@dataclass
class Collected:
    """What a collector has, and where it listens."""

    spans: list[Any] = field(default_factory=list)
    numbers: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    place: str = ""


def attributes(of: Any) -> dict[str, Any]:
    """By their names."""
    return {each.key: each.value.string_value or each.value.int_value for each in of.attributes}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    found = Collected()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                told = ExportTraceServiceRequest.FromString(body)
                found.spans.extend(s for of in told.resource_spans for scope in of.scope_spans for s in scope.spans)
                found.services |= {attributes(of.resource)["service.name"] for of in told.resource_spans}
            else:
                told = ExportMetricsServiceRequest.FromString(body)
                found.numbers.extend(m for of in told.resource_metrics for s in of.scope_metrics for m in s.metrics)
                found.services |= {attributes(of.resource)["service.name"] for of in told.resource_metrics}
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.place)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_are_spans_and_count(tmp_path: Path, collected: Collected):
    publish(tmp_path / "store")
    with served(tmp_path / "store", telemetry=True) as service:
        service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}, traceparent=f"00-{TRACE}-{PARENT}-01")
        service.ask("GET", "/v1/track/gone")
        assert service.end() == 0
    found = {span.name: span for span in collected.spans}
    span = found["POST /v1/{type}/decorate"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(span)["http.response.status_code"] == 200
    assert attributes(span)["http.route"] == "/v1/{type}/decorate"
    assert attributes(span)["url.path"] == "/v1/track/decorate"
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert "GET /v1/{type}/{key}" in found
    assert collected.services == {"bedeck"}
    durations = [of for of in collected.numbers if of.name == "http.server.request.duration"]
    points = [point for of in durations for point in of.histogram.data_points]
    assert sum(point.count for point in points) >= 2
    for point in points:
        assert sum(point.bucket_counts) == point.count
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert point.min <= point.max
    told = {(of.key, of.value.string_value or of.value.int_value) for point in points for of in point.attributes}
    assert {("http.route", "/v1/{type}/{key}"), ("http.response.status_code", 404)} <= told


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_what_the_client_does_not_sample_is_no_span_and_still_counts(tmp_path: Path, collected: Collected, server: str):
    publish(tmp_path / "store")
    with served(tmp_path / "store", telemetry=True, server=server) as service:
        service.ask("GET", "/v1/track/t1", traceparent=f"00-{TRACE}-{PARENT}-00")
        service.ask("GET", "/v1/track?ids=t1", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert service.end() == 0
    assert {span.name for span in collected.spans if "/v1/" in span.name} == {"GET /v1/{type}"}
    routes = {
        of.value.string_value for n in collected.numbers for point in n.histogram.data_points for of in point.attributes
    }
    assert {"/v1/{type}/{key}", "/v1/{type}"} <= routes


def test_paths_make_no_names(tmp_path: Path, collected: Collected, monkeypatch: pytest.MonkeyPatch):
    publish(tmp_path / "store")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=music")
    with served(tmp_path / "store", telemetry=True) as service:
        for path in ("/wp-admin/1.php", "/" + "x" * 20_000, "/livez"):
            service.ask("GET", path)
        assert service.end() == 0
    told = [(span.name, attributes(span)) for span in collected.spans]
    assert {name for name, _ in told} == {"GET", "GET /livez", "GET /readyz"}
    assert {of.get("http.route") for _, of in told} == {None, "/livez", "/readyz"}
    assert max(len(of["url.path"]) for _, of in told) == 1024
    assert collected.services == {"music"}


@pytest.mark.parametrize("parent", [f"00-{'0' * 32}-{PARENT}-00", "garbage-00", f"00-{TRACE.upper()}-{PARENT}-00"])
def test_what_is_no_parent_decides_nothing(tmp_path: Path, collected: Collected, parent: str):
    publish(tmp_path / "store")
    with served(tmp_path / "store", telemetry=True) as service:
        service.ask("GET", "/v1/track/t1", traceparent=parent)
        assert service.end() == 0
    assert "GET /v1/{type}/{key}" in {span.name for span in collected.spans}


@pytest.mark.parametrize(
    ("variable", "sent"),
    [
        ("OTEL_TRACES_EXPORTER=none", {"numbers"}),
        ("OTEL_METRICS_EXPORTER=None", {"spans"}),
        ("OTEL_TRACES_EXPORTER=otlp_proto_http,none,", {"spans", "numbers"}),
        ("OTEL_TRACES_EXPORTER=otlp", {"spans", "numbers"}),
    ],
)
def test_what_the_environment_does_not_want_is_not_sent(
    tmp_path: Path, collected: Collected, monkeypatch: pytest.MonkeyPatch, variable: str, sent: set[str]
):
    publish(tmp_path / "store")
    monkeypatch.setenv(*variable.split("="))
    with served(tmp_path / "store", telemetry=True) as service:
        service.ask("GET", "/v1/track/t1")
        assert service.end() == 0
    assert {name for name in ("spans", "numbers") if getattr(collected, name)} == sent


def test_what_is_disabled_sends_nothing_whatever_else_is_said(
    tmp_path: Path, collected: Collected, monkeypatch: pytest.MonkeyPatch
):
    publish(tmp_path / "store")
    for name, value in {"SDK_DISABLED": "TRUE", "TRACES_EXPORTER": "console", "METRIC_EXPORT_INTERVAL": "abc"}.items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    with served(tmp_path / "store", telemetry=True) as service:
        assert service.ask("GET", "/v1/track/t1").status == 200
        assert service.end() == 0
    assert not collected.spans + collected.numbers


def test_an_exporter_that_is_not_here_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(tmp_path / "store")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    done = verb("serve", tmp_path / "store", "--port", "0", "--otel")
    assert done.returncode == 5
    assert "OTEL_METRICS_EXPORTER=prometheus: there is no exporter prometheus here; otlp or none" in done.stderr


@pytest.mark.parametrize("interval", ["abc", "0", "-5"])
def test_an_interval_that_is_none_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: str):
    publish(tmp_path / "store")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", interval)
    done = verb("serve", tmp_path / "store", "--port", "0", "--otel")
    assert done.returncode == 5
    assert f"OTEL_METRIC_EXPORT_INTERVAL={interval}: a whole number of milliseconds" in done.stderr
