"""Load on a service, and what it says."""

import json
import resource
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bedeck._core import load

__all__ = ["Arrivals", "Load", "Told", "goodput", "in_time", "outcome", "saturation"]

Arrivals = Literal["constant", "poisson"]
Told = dict[str, Any]  # bedeck_load::Report

KEPT_UP: Final = 0.99  # of what was asked for is answered in time where a service keeps up
STEPS: Final = 5
FILES: Final = 100  # besides connections


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
        _allow(self.connections)
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


def _allow(connections: int) -> None:
    """Let this process have so many connections, as far as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, connections + FILES)), hard))


def goodput(told: Told, bound: float) -> float:
    """Answers a second with status 200 that were complete within ``bound`` seconds, to one in two thousand of them."""
    good = told["latency"].get("200")
    if not good:
        return 0.0
    in_time = bisect_right(good["spread"], bound * 1e6) / len(good["spread"])
    return float(good["count"] * in_time / told["seconds"])


def in_time(told: Told, bound: float) -> float:
    """The share of all requests that were due which were answered so."""
    due = sum(told["status"].values()) + sum(told["errors"].values())
    return goodput(told, bound) * float(told["seconds"]) / due if due else 0.0


def saturation(load: Load, bound: float, seconds: float) -> tuple[float, list[Told]]:
    """The highest rate that a service keeps up with, 99 % within ``bound`` seconds; and the runs that tell.

    Raises ``ValueError`` where it answers nothing with 200.
    """
    closed = load.run(None, seconds)
    if "200" not in closed["status"]:
        raise ValueError(f"nothing is answered with 200, but {outcome(closed)}: see that it is what the service takes")
    runs = [closed]

    def keeps_up(rate: float) -> bool:
        runs.append(load.run(rate, seconds))
        return in_time(runs[-1], bound) >= KEPT_UP

    return highest(closed["status"]["200"] / closed["seconds"], keeps_up), runs


def highest(near: float, keeps_up: Callable[[float], bool]) -> float:
    """The highest rate that is kept up with, to a thirtieth; 0 where that is far below ``near``.

    What a closed loop gets answered is near it, or, where most of that was refused, far below it: it is no upper
    bound. So it is doubled until it is one, and then halved between, five times.
    """
    low, high = 0.0, near * 0.95
    while keeps_up(high):
        low, high = high, high * 2
    for _ in range(STEPS):
        rate = (low + high) / 2
        low, high = (rate, high) if keeps_up(rate) else (low, rate)
    return low


def outcome(told: Told) -> str:
    """How requests ended, in words: "503 (12 times), timeout (2 times)"."""
    return ", ".join(f"{what} ({number:,} times)" for what, number in {**told["status"], **told["errors"]}.items())
