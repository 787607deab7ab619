"""What a request takes of a worker, measured: for `bedeck.plan`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bedeck._bench.loads import Load, Told
from bedeck.plan import Measured

__all__ = ["measured"]

SHAPE: Final = 0.05  # of the saturation: where hardly any request waits
LADDER: Final = (0.2, 0.4, 0.6, 0.8)
MILLION: Final = 1e6


def measured(load: Load, workers: Sequence[int], seconds: float) -> Measured:
    """From a service whose processes ``workers`` get nothing but this load, within some ``seconds``."""
    each = seconds / (len(LADDER) + 2)
    closed = load.run(None, each)
    rate = closed["status"].get("200", 0) / closed["seconds"]
    if not rate:
        raise ValueError(f"no request is answered with 200: {closed['status']} {closed['errors']}")
    services: list[tuple[float, float]] = []
    shape: Told = {}
    for share in (SHAPE, *LADDER):
        before = busy(workers)
        told = load.run(rate * share, each, warm=0.0)
        took = (busy(workers) - before) / max(1, told["status"].get("200", 0))
        # A request takes one of the workers, each of which gets its part.
        services.append((rate * share / len(workers), took))
        shape = shape or told
    return Measured(latencies(shape), services)


def latencies(told: Told) -> list[float]:
    """The shape of the latencies of answers, in seconds."""
    return [micros / MILLION for micros in told["latency"]["200"]["spread"]]


def busy(workers: Sequence[int]) -> float:
    """Seconds of processor time that the main threads of processes have taken: those that answer."""
    return sum(int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[0]) for pid in workers) / 1e9
