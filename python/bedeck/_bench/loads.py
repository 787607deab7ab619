"""Load on a service, and what it says."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bedeck._core import load

__all__ = ["Arrivals", "Load", "Told", "goodput", "saturation"]

Arrivals = Literal["constant", "poisson"]
Told = dict[str, Any]  # bedeck_load::Report

KEPT_UP: Final = 0.99  # of what was asked for is answered in time where a service keeps up
STEPS: Final = 5


@dataclass(frozen=True, slots=True)
class Load:
    """Requests for a service, and how they are sent. Seconds."""

    host: str
    port: int
    requests: Sequence[bytes]
    connections: int = 64
    timeout: float = 5.0
    seed: int = 1
    marker: bytes | None = None

    def run(self, rate: float | None, seconds: float, arrivals: Arrivals = "poisson", warm: float = 1.0) -> Told:
        """So many requests a second, for so long; with no ``rate`` as many as all connections get answered."""
        told = load(
            self.host,
            self.port,
            list(self.requests),
            rate=rate,
            poisson=arrivals == "poisson",
            lasting=seconds + warm,
            warm=warm,
            connections=self.connections,
            timeout=self.timeout,
            seed=self.seed,
            marker=self.marker,
        )
        found: Told = json.loads(told)
        return found


def goodput(told: Told, bound: float) -> float:
    """Answers a second with status 200 that were complete within ``bound`` seconds, to one in two thousand of them."""
    good = told["latency"].get("200")
    if not good:
        return 0.0
    in_time = bisect_right(good["spread"], bound * 1e6) / len(good["spread"])
    return float(good["count"] * in_time / told["seconds"])


def saturation(load: Load, bound: float, seconds: float) -> tuple[float, list[Told]]:
    """The highest rate that a service keeps up with, 99 % within ``bound`` seconds; and the runs that tell.

    Between what all connections together get answered in a closed loop, which is more than what can be promised, and
    nothing: by bisection, five steps.
    """
    closed = load.run(None, seconds)
    high = closed["status"].get("200", 0) / closed["seconds"] * 1.05
    low, runs = 0.0, [closed]
    for step in range(STEPS):
        rate = high * 0.9 if step == 0 else (low + high) / 2
        told = load.run(rate, seconds)
        runs.append(told)
        if goodput(told, bound) >= KEPT_UP * rate * 0.99:
            low = rate
        else:
            high = rate
    return low, runs
