"""What OpenTelemetry is told, by a collector that keeps it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving import publish, served

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def collected() -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Where it listens, spans and metrics."""
    spans: list[Any] = []
    numbers: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                told = ExportTraceServiceRequest.FromString(body)
                spans.extend(span for of in told.resource_spans for scope in of.scope_spans for span in scope.spans)
            else:
                found = ExportMetricsServiceRequest.FromString(body)
                numbers.extend(of for r in found.resource_metrics for scope in r.scope_metrics for of in scope.metrics)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", spans, numbers
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_are_spans_and_count(
    tmp_path: Path, collected: tuple[str, list[Any], list[Any]], monkeypatch: pytest.MonkeyPatch
):
    place, spans, numbers = collected
    publish(tmp_path / "store")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with served(tmp_path / "store", telemetry=True) as service:
        service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}, traceparent=f"00-{TRACE}-{PARENT}-01")
        service.ask("GET", "/v1/track/gone")
        assert service.end() == 0
    found = {span.name: span for span in spans}
    span = found["POST /v1/{type}/decorate"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    attributes = {of.key: of.value.string_value or of.value.int_value for of in span.attributes}
    assert attributes["http.response.status_code"] == 200
    assert attributes["http.route"] == "/v1/{type}/decorate"
    assert attributes["url.path"] == "/v1/track/decorate"
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert "GET /v1/{type}/{key}" in found
    durations = [of for of in numbers if of.name == "http.server.request.duration"]
    points = [point for of in durations for point in of.histogram.data_points]
    assert sum(point.count for point in points) >= 2
    for point in points:
        assert sum(point.bucket_counts) == point.count
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert point.min <= point.max
    told = {(of.key, of.value.string_value or of.value.int_value) for point in points for of in point.attributes}
    assert {("http.route", "/v1/{type}/{key}"), ("http.response.status_code", 404)} <= told


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_what_the_client_does_not_sample_is_no_span_and_still_counts(
    tmp_path: Path, collected: tuple[str, list[Any], list[Any]], monkeypatch: pytest.MonkeyPatch, server: str
):
    place, spans, numbers = collected
    publish(tmp_path / "store")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with served(tmp_path / "store", telemetry=True, server=server) as service:
        service.ask("GET", "/v1/track/t1", traceparent=f"00-{TRACE}-{PARENT}-00")
        service.ask("GET", "/v1/track?ids=t1", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert service.end() == 0
    assert {span.name for span in spans if "/v1/" in span.name} == {"GET /v1/{type}"}
    routes = {of.value.string_value for n in numbers for point in n.histogram.data_points for of in point.attributes}
    assert {"/v1/{type}/{key}", "/v1/{type}"} <= routes
