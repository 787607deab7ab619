"""Spans and metrics of requests for OpenTelemetry (semantic conventions for HTTP, stable since 1.23).

Needs opentelemetry-sdk and its exporter for OTLP over HTTP: ``pip install bedeck[otel]``. The SDK takes where to send
them, and all else, from the environment: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER`` and so on.
"""

import time
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from bedeck._core import VERSION
from bedeck._serve.message import Request

__all__ = ["Telemetry"]

TEMPLATES: Final = ("/v1/{type}/decorate", "/v1/decorate", "/v1/{type}", "/v1/{type}/{key}", None)
FAILED: Final = 500


class Telemetry:
    """Tells OpenTelemetry of answers. Exports from threads of its own; `close` sends what is left."""

    def __init__(self) -> None:
        resource = Resource.create({SERVICE_NAME: "bedeck"}).merge(Resource.create())
        # The advised buckets begin at 5 ms, where most answers have long been given.
        view = View(instrument_name="http.server.request.duration", aggregation=ExponentialBucketHistogramAggregation())
        self._traces = TracerProvider(resource=resource)
        self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._metrics = MeterProvider([reader], resource=resource, views=[view])
        self._tracer = trace.get_tracer("bedeck", VERSION, self._traces)
        meter = metrics.get_meter("bedeck", VERSION, self._metrics)
        self._durations = meter.create_histogram(
            "http.server.request.duration", "s", "Duration of HTTP server requests"
        )

    def answered(self, request: Request, route: int, status: int, size: int, now: float) -> None:
        """An answer was given at ``now``, a time of ``time.monotonic()``."""
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "http.response.status_code": status,
            "url.scheme": "http",
        }
        template = TEMPLATES[route] or request.path
        attributes["http.route"] = template
        if status >= FAILED:
            attributes["error.type"] = str(status)
        self._durations.record(now - request.at, attributes)
        carrier = {name.decode(): value.decode("latin-1") for name, value in request.headers.items()}
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{request.method} {template}",
            context=extract(carrier),
            kind=SpanKind.SERVER,
            attributes={**attributes, "url.path": request.path, "http.response.body.size": size},
            start_time=ended - int((now - request.at) * 1e9),
        )
        if status >= FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._traces.shutdown()
        self._metrics.shutdown()
