"""Spans and metrics of requests for OpenTelemetry (semantic conventions for HTTP, stable since 1.23).

Needs opentelemetry-sdk and its exporter for OTLP over HTTP: ``pip install bedeck[otel]``. Where to send them, and all
else, is told by the environment: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``,
``OTEL_METRIC_EXPORT_INTERVAL``, ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` (``otlp`` or ``none``),
``OTEL_SDK_DISABLED`` and so on.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from bedeck._core import VERSION
from bedeck._serve.exposition import BOUNDS
from bedeck._serve.histogram import at_most, quantiles
from bedeck._serve.message import Request
from bedeck._serve.metrics import Slot
from bedeck._serve.route import FIXED

__all__ = ["Telemetry"]

TEMPLATES: Final = ("/v1/{type}/decorate", "/v1/decorate", "/v1/{type}", "/v1/{type}/{key}", None)
METHODS: Final = ("POST", "POST", "GET", "GET", "_OTHER")
FAILED: Final = 500
LONGEST: Final = 1024  # characters of a path that are told
PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)  # a traceparent that is one (W3C Trace Context, 3.2.2)
OTLP: Final = {"otlp", "otlp_proto_http"}  # names of what sends
LEAST: Final = 1e-9  # a share that the shortest of any number of durations is


class Telemetry:
    """Tells OpenTelemetry of answers. Exports from threads of its own; `close` sends what is left.

    Metrics are what ``slot`` counts in any case, sent every ``OTEL_METRIC_EXPORT_INTERVAL`` milliseconds. A request
    whose client has decided that it is not sampled costs next to nothing, unless the sampler does not heed parents.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        own = Resource({SERVICE_NAME: "bedeck", SERVICE_INSTANCE_ID: str(os.getpid())})
        # What the environment says comes first, but not what stands for what it does not say.
        self._resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
        self._traced = is_sent("TRACES")
        self._traces = TracerProvider(resource=self._resource)
        if self._traced:
            self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = trace.get_tracer("bedeck", VERSION, self._traces)
        self._heeds_parents = isinstance(self._traces.sampler, ParentBased)
        self._began = time.time_ns()
        self._exporter = OTLPMetricExporter()
        self._ending = threading.Event()
        self._sending = threading.Thread(target=self._send, name="bedeck-metrics", daemon=True)
        if is_sent("METRICS"):
            self._interval = interval()
            self._sending.start()

    def answered(self, request: Request, route: int, status: int, size: int, now: float) -> None:
        """An answer was given at ``now``, a time of ``time.monotonic()``."""
        if not self._traced:
            return
        parent = request.headers.get(b"traceparent")
        if parent and self._heeds_parents and is_dropped(parent):
            return
        # Names and routes are few, whatever paths there are (semantic conventions).
        template = TEMPLATES[route] or (request.path if request.path in FIXED else None)
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{request.method} {template}" if template else request.method,
            context=extract({k.decode(): v.decode("latin-1") for k, v in request.headers.items()}) if parent else ROOT,
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "http.response.status_code": status,
                "http.response.body.size": size,
                "url.path": request.path[:LONGEST],
                "url.scheme": "http",
                **({"http.route": template} if template else {}),
                **({"error.type": str(status)} if status >= FAILED else {}),
            },
            start_time=ended - int((now - request.at) * 1e9),
        )
        if status >= FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._ending.set()
        self._traces.shutdown()
        if self._sending.is_alive():
            self._sending.join()
        self._exporter.shutdown()

    def _send(self) -> None:
        while not self._ending.wait(self._interval):
            self._exporter.export(self._metrics())
        self._exporter.export(self._metrics())

    def _metrics(self) -> MetricsData:
        data = Histogram(list(self._points()), AggregationTemporality.CUMULATIVE)
        metric = Metric("http.server.request.duration", "Duration of HTTP server requests", "s", data)
        scope = ScopeMetrics(InstrumentationScope("bedeck", VERSION), [metric], "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _points(self) -> Iterator[HistogramDataPoint]:
        for route, code, counts, seconds in self._slot.durations():
            below, total = [0, *at_most(counts, BOUNDS)], sum(counts)
            shortest, longest = quantiles(counts, (LEAST, 1 - LEAST))
            attributes = {
                "http.request.method": METHODS[route],
                "http.response.status_code": code,
                "url.scheme": "http",
                **({"http.route": template} if (template := TEMPLATES[route]) else {}),
                **({"error.type": str(code)} if code >= FAILED else {}),
            }
            yield HistogramDataPoint(
                attributes=attributes,
                start_time_unix_nano=self._began,
                time_unix_nano=time.time_ns(),
                count=total,
                sum=seconds,
                bucket_counts=[more - less for less, more in zip(below, [*below[1:], total], strict=True)],
                explicit_bounds=BOUNDS,
                min=shortest,
                max=longest,
            )


ROOT: Final = Context()  # of a request that has no parent


def is_dropped(traceparent: bytes) -> bool:
    """Whether the client has decided that its request is not sampled (W3C Trace Context, 3.2.2.5)."""
    found = PARENT.fullmatch(traceparent)
    return found is not None and not int(found[1], 16) & 1


def is_sent(signal: str) -> bool:
    """Whether the environment has ``signal`` sent. Raises ``ValueError`` where it names another exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    name = f"OTEL_{signal}_EXPORTER"
    text = os.environ.get(name, "")
    exporters = {each for part in text.split(",") if (each := part.strip().lower())}
    if others := exporters - {"none"} - OTLP:
        raise ValueError(f"{name}={text}: there is no exporter {min(others)} here; otlp or none is expected")
    return not exporters or bool(exporters & OTLP)


def interval() -> float:
    """Seconds between two exports of metrics. Raises ``ValueError`` where the environment has no number above 0."""
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or "60000"
    if not text.isdecimal() or not int(text):
        raise ValueError(f"OTEL_METRIC_EXPORT_INTERVAL={text}: a whole number of milliseconds above 0 is expected")
    return int(text) / 1000
