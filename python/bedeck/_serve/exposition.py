"""The numbers of a service as text for Prometheus (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bedeck._serve.histogram import at_most, quantiles
from bedeck._serve.metrics import Block

__all__ = ["BOUNDS", "METRICS", "exposition"]

BOUNDS: Final = tuple(
    round(base * 10.0**power, 9) for power in range(-5, 1) for base in (1, 2, 5)
)  # 10 us to 5 s; those of client libraries begin where answers should have ended
QUANTILES: Final = (0.5, 0.9, 0.99, 0.999, 0.9999)

METRICS: Final = {
    "bedeck_workers": ("gauge", "Processes that answer."),
    "bedeck_workers_wanted": ("gauge", "As many as there should be."),
    "bedeck_workers_ready": ("gauge", "Those that have a version to serve, and are not about to end."),
    "bedeck_http_requests_total": ("counter", "Answers by route and status code."),
    "bedeck_http_requests_shed_total": ("counter", "Requests that were refused at once, by reason."),
    "bedeck_http_requests_in_flight": ("gauge", "Requests that wait or are being answered."),
    "bedeck_http_connections": ("gauge", "Open connections."),
    "bedeck_http_connections_total": ("counter", "Connections that were accepted."),
    "bedeck_http_sent_bytes_total": ("counter", "Bytes of bodies of answers."),
    "bedeck_http_request_duration_seconds": ("histogram", "From a request that is all there to its answer, by route."),
    "bedeck_http_request_quantile_seconds": ("gauge", "The same since the start, within 1 %, by quantile and route."),
    "bedeck_event_loop_lag_seconds": ("histogram", "How late event loops are: work that comes waits for so long."),
    "bedeck_gc_total": ("counter", "Runs of Python's garbage collector."),
    "bedeck_gc_seconds_total": ("counter", "What they took; nothing is answered meanwhile."),
    "bedeck_decorate_ids_total": ("counter", "Ids that were asked for."),
    "bedeck_decorate_missing_total": ("counter", "Those of them that have no record."),
    "bedeck_catalogue_version": ("gauge", "The oldest version that a worker serves."),
    "bedeck_catalogue_newest_version": ("gauge", "The newest version that a worker serves."),
    "bedeck_catalogue_announced_version": ("gauge", "The newest version that was announced, as far as is known."),
    "bedeck_catalogue_age_seconds": ("gauge", "Since what is served was announced."),
    "bedeck_catalogue_refreshes_total": ("counter", "Changes of version, of each worker."),
    "bedeck_catalogue_refresh_failures": (
        "gauge",
        "Failures to follow since the last good look, the most of a worker.",
    ),
    "bedeck_catalogue_bytes": ("gauge", "Bytes of the files that are served."),
    "bedeck_catalogue_resident_bytes": ("gauge", "Those of them that are in memory."),
}


def exposition(block: Block) -> bytes:
    """All of it. Linear in the number of slots."""
    values = dict(_values(block))
    lines: list[str] = []
    for name, (kind, text) in METRICS.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *values[name]]
    return ("\n".join(lines) + "\n").encode()


def _values(block: Block) -> Iterator[tuple[str, list[str]]]:
    working = block.working()

    def gauges(name: str) -> list[int]:
        return [slot.gauge(name) for slot in working]

    def one(name: str, value: float) -> tuple[str, list[str]]:
        return name, [f"{name} {value}"]  # all digits: counters pass what a float tells apart

    yield one("bedeck_workers", len(working))
    yield one("bedeck_workers_wanted", block.wanted)
    yield one("bedeck_workers_ready", sum(gauges("ready")))
    name = "bedeck_http_requests_total"
    yield name, [f'{name}{{route="{route}",code="{code}"}} {number}' for route, code, number in block.answers()]
    name = "bedeck_http_requests_shed_total"
    yield name, [f'{name}{{reason="{reason}"}} {number}' for reason, number in block.refusals()]
    yield one("bedeck_http_requests_in_flight", sum(gauges("waiting")))
    yield one("bedeck_http_connections", sum(gauges("connections_open")))
    yield one("bedeck_http_connections_total", block.counter("connections"))
    yield one("bedeck_http_sent_bytes_total", block.counter("bytes_sent"))
    used = block.durations()
    name = "bedeck_http_request_duration_seconds"
    yield name, [line for route, of in used.items() for line in _histogram(name, f'route="{route}"', of)]
    name = "bedeck_http_request_quantile_seconds"
    yield name, [line for route, (counts, _) in used.items() for line in _quantiles(name, route, counts)]
    name = "bedeck_event_loop_lag_seconds"
    yield name, list(_histogram(name, "", block.lags()))
    yield one("bedeck_gc_total", block.counter("collections"))
    yield one("bedeck_gc_seconds_total", block.counter("collection_microseconds") / 1e6)
    yield one("bedeck_decorate_ids_total", block.counter("ids"))
    yield one("bedeck_decorate_missing_total", block.counter("missing"))
    ready = [slot for slot in working if slot.gauge("version")]
    versions = [slot.gauge("version") for slot in ready]
    yield one("bedeck_catalogue_version", min(versions, default=0))
    yield one("bedeck_catalogue_newest_version", max(versions, default=0))
    yield one("bedeck_catalogue_announced_version", max(gauges("announced_version"), default=0))
    yield one("bedeck_catalogue_age_seconds", max((s.gauge("age_microseconds") for s in ready), default=0) / 1e6)
    yield one("bedeck_catalogue_refreshes_total", block.counter("refreshes"))
    yield one("bedeck_catalogue_refresh_failures", max(gauges("failures"), default=0))
    yield one("bedeck_catalogue_bytes", max(gauges("bytes"), default=0))
    yield one("bedeck_catalogue_resident_bytes", max(gauges("resident_bytes"), default=0))


def _histogram(name: str, labels: str, of: tuple[Sequence[int], float]) -> Iterable[str]:
    counts, total = of
    comma, braced = labels and f"{labels},", labels and f"{{{labels}}}"
    for bound, number in zip(BOUNDS, at_most(counts, BOUNDS), strict=True):
        yield f'{name}_bucket{{{comma}le="{bound:g}"}} {number}'
    yield f'{name}_bucket{{{comma}le="+Inf"}} {sum(counts)}'
    yield f"{name}_sum{braced} {total}"
    yield f"{name}_count{braced} {sum(counts)}"


def _quantiles(name: str, route: str, counts: Sequence[int]) -> Iterable[str]:
    for quantile, seconds in zip(QUANTILES, quantiles(counts, QUANTILES), strict=True):
        yield f'{name}{{route="{route}",quantile="{quantile:g}"}} {seconds:.6g}'
