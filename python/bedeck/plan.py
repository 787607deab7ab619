"""How many workers and machines a service needs, from what a request takes on this machine.

A worker is a queue with one server (`bedeck.queueing`), and gets its part of the requests. What a request takes of it,
and what it takes besides, depends on the rate: at low ones the system goes to sleep, and wakes up for each. Both are
measured at several rates; the waiting, and with it the tail, is worked out. docs/planning.md tells how good that is.

The way of validating such a model against measurement is that of R. Yanggratoke, G. Kreitz, M. Goldmann, R. Stadler and
V. Fodor, On the Performance of the Spotify Backend, Journal of Network and Systems Management 23 (2015).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import ceil
from typing import Any, Final, NamedTuple

import numpy as np

from bedeck.queueing import Queue, Response

__all__ = ["At", "Expected", "Measured", "Plan", "breaking", "expect", "plan"]

LOADS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
HEADROOM: Final = 0.7  # of the load at which the bound breaks
STEPS: Final = 30
BUSIEST: Final = 0.97  # of its time that a worker can have worked while it kept up


class At(NamedTuple):
    """What was measured of a worker at a rate: seconds of its thread that a request took, and the median latency."""

    rate: float
    service: float
    p50: float


class Measured:
    """What was measured of one worker. Seconds, and requests a second.

    ``saturation`` is what it answers where there always is another request. ``alone`` are latencies of one request
    after another, each sent when the one before was answered: how service varies. ``besides`` are latencies at a low
    rate, where hardly any request waits: how that varies which keeps nobody else waiting, mostly waking up. ``ladder``
    has rates, ascending, below the saturation.

    Raises ``ValueError`` where it is not so.
    """

    def __init__(
        self, saturation: float, alone: Sequence[float], besides: Sequence[float], ladder: Sequence[At]
    ) -> None:
        if not len(alone) or not len(besides) or not ladder:
            raise ValueError("alone, besides and ladder: at least one of each is expected")
        rates = [at.rate for at in ladder]
        if rates != sorted(rates) or not 0 < rates[0] <= rates[-1] < saturation:
            raise ValueError(f"ladder: rates above 0 and below {saturation:.6g} are expected, ascending, not {rates}")
        if any(not (at.service > 0 and at.p50 > 0) for at in ladder):
            raise ValueError("ladder: seconds above 0 are expected")
        self.saturation = saturation
        self.alone = np.asarray(alone, dtype=float)
        self.besides = np.asarray(besides, dtype=float)
        self.ladder = tuple(ladder)

    def service(self, rate: float) -> float:
        """What a request takes of a worker that gets ``rate`` of them a second: between, or as at the ends."""
        rates = [*(at.rate for at in self.ladder), self.saturation]
        took = [*(at.service for at in self.ladder), 1 / self.saturation]
        between = float(np.interp(rate, rates, took))
        # What was measured beside other work may be more than there was time for.
        most = np.interp(rate, (0, self.saturation), (BUSIEST, 1)) / rate if rate < self.saturation else between
        return min(between, float(most))

    def response(self, rate: float) -> Response:
        """What requests are expected to take. Raises ``ValueError`` where ``rate`` is not below the saturation."""
        waited = self._waited(rate)
        return waited.later(float(np.interp(rate, [at.rate for at in self.ladder], self._shifts)))

    def _waited(self, rate: float) -> Response:
        """The same, but for a part of what is besides, which is the same for all requests."""
        service = self.service(rate)
        sampled = np.maximum(service + self.alone - np.median(self.alone), service / 2)
        spread = self.besides - self.besides.min()
        return Queue(sampled * (service / sampled.mean())).response(rate).plus(spread)

    @cached_property
    def _shifts(self) -> list[float]:
        """That part at the rates that were measured: what the median has over what is worked out."""
        return [at.p50 - self._waited(at.rate).quantile(0.5) for at in self.ladder]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one worker at a rate. Seconds."""

    load: float
    rate: float
    utilisation: float
    p50: float
    p99: float
    p999: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service needs.

    Rates are of requests a second, times seconds. ``saturation`` and ``breaking`` are of one worker: what it can do at
    all, and the rate up to which the quantile ``share`` stays within ``bound``. ``headroom`` is the share of the
    breaking rate of all workers that is left over when one machine is down.
    """

    rps: float
    size: int
    share: float
    bound: float
    saturation: float
    breaking: float
    workers: int
    machines: int
    workers_a_machine: int
    memory: int
    rate: float
    headroom: float
    expected: Expected
    table: list[Expected] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same, of plain values."""
        return asdict(self)


def expect(measured: Measured, rate: float) -> Expected:
    """What is expected of a worker at a rate. Raises ``ValueError`` where it is not below the saturation."""
    response = measured.response(rate)
    least = measured.service(rate)  # whatever noise there was in the medians
    p50, p99, p999 = (max(least, response.quantile(share)) for share in (0.5, 0.99, 0.999))
    return Expected(rate / measured.saturation, rate, response.utilisation, p50, p99, p999)


def breaking(measured: Measured, share: float, bound: float) -> float:
    """The highest rate at which the quantile ``share`` of a worker stays within ``bound``; 0 where it never does."""
    low, high = 0.0, measured.saturation * 0.999
    for _ in range(STEPS):
        rate = (low + high) / 2
        low, high = (rate, high) if measured.response(rate).quantile(share) <= bound else (low, rate)
    return low if low > measured.saturation * 1e-3 else 0.0


def plan(  # noqa: PLR0913 - what may be left out is named
    measured: Measured,
    rps: float,
    *,
    size: int,
    bound: float,
    share: float = 0.999,
    cores: int,
    catalogue: int,
    worker: int = 64 << 20,
    headroom: float = HEADROOM,
) -> Plan:
    """What ``rps`` requests a second need, on machines with so many ``cores``, one worker each.

    As many machines as keep every worker at most at ``headroom`` of its breaking rate, and one more, that may be down.
    ``catalogue`` is its size in bytes, of which there are two while a new base comes; ``worker`` what each takes
    besides.

    Raises ``ValueError`` where a single request takes longer than the bound.
    """
    for name, value in (("rps", rps), ("bound", bound), ("cores", cores), ("headroom", headroom)):
        if not value > 0:
            raise ValueError(f"{name}={value!r}: a number above 0 is expected")
    most = breaking(measured, share, bound)
    if not most:
        raise ValueError(
            f"{share:.4g} of the answers within {bound * 1e3:.4g} ms cannot be kept at any load: lists of {size} take"
            f" {np.quantile(measured.besides, share) * 1e3:.4g} ms without waiting. Ask for a higher bound, or for"
            " shorter lists"
        )
    needed = ceil(rps / (most * headroom))
    machines = ceil(needed / cores) + 1
    workers = (machines - 1) * cores if machines > 2 else max(needed, 1)  # noqa: PLR2004 - one, and one to spare
    a_machine = ceil(workers / (machines - 1))
    rate = rps / (a_machine * (machines - 1))
    top = measured.saturation
    return Plan(
        rps=rps,
        size=size,
        share=share,
        bound=bound,
        saturation=top,
        breaking=most,
        workers=a_machine * machines,
        machines=machines,
        workers_a_machine=a_machine,
        memory=2 * catalogue + a_machine * worker,
        rate=rps / (a_machine * machines),
        headroom=1 - rate / most,
        expected=expect(measured, rps / (a_machine * machines)),
        table=[expect(measured, load * top) for load in LOADS],
    )
