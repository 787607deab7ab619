"""How many workers and machines a service needs, from what a request takes on this machine.

A worker is a queue with one server (`bedeck.queueing`), and gets its part of the requests. What a request takes of it
is measured at several rates: at low ones it is more, since the system goes to sleep and wakes up for each. What is
sampled at the lowest rate, where hardly any request waits, is the shape. docs/planning.md tells how good that is.

The way of validating such a model against measurement is that of R. Yanggratoke, G. Kreitz, M. Goldmann, R. Stadler and
V. Fodor, On the Performance of the Spotify Backend, Journal of Network and Systems Management 23 (2015).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Final

import numpy as np

from bedeck.queueing import Queue

__all__ = ["Expected", "Measured", "Plan", "expect", "plan", "saturation"]

LOADS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
HEADROOM: Final = 0.7  # of the load at which the bound breaks
STEPS: Final = 30


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one worker. Seconds.

    ``latencies`` are those of requests that hardly ever waited. ``services`` are rates, ascending, and the processor
    time that a request took at each.
    """

    latencies: Sequence[float]
    services: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        if not self.latencies or not self.services:
            raise ValueError("latencies and services: at least one of each is expected")
        if list(self.services) != sorted(self.services) or any(rate <= 0 or took <= 0 for rate, took in self.services):
            raise ValueError("services: pairs of a rate and seconds, above 0, are expected, ascending")

    def service(self, rate: float) -> float:
        """What a request takes of a worker that gets ``rate`` of them a second: between, or as at the ends."""
        rates, took = zip(*self.services, strict=True)
        return float(np.interp(rate, rates, took))

    def queue(self, rate: float) -> tuple[Queue, float]:
        """The queue at that rate; and what a request takes besides, mostly of the network.

        What is over the mean in a measured latency is service: the thread was kept from working, and so were those
        behind.
        """
        latencies = np.asarray(self.latencies)
        service = self.service(rate)
        middle = float(np.median(latencies))
        spread = np.maximum(latencies - middle, -0.9 * service)
        spread -= spread.mean() if spread.mean() > 0 and service + spread.mean() <= 0 else 0
        sampled = np.maximum(service + spread, service / 10)
        sampled *= service / sampled.mean()
        return Queue(sampled), max(0.0, middle - float(np.median(sampled)))


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


def saturation(measured: Measured) -> float:
    """The rate at which a worker has no time left: where rate times service is 1."""
    low, high = 0.0, 2 / min(took for _, took in measured.services)
    for _ in range(2 * STEPS):
        rate = (low + high) / 2
        low, high = (rate, high) if rate * measured.service(rate) < 1 else (low, rate)
    return low


def expect(measured: Measured, rate: float) -> Expected:
    """What is expected of a worker at a rate. Raises ``ValueError`` where it is not below the saturation."""
    queue, besides = measured.queue(rate)
    response = queue.response(rate)
    p50, p99, p999 = (response.quantile(share) + besides for share in (0.5, 0.99, 0.999))
    return Expected(rate / saturation(measured), rate, response.utilisation, p50, p99, p999)


def breaking(measured: Measured, share: float, bound: float) -> float:
    """The highest rate at which the quantile ``share`` of a worker stays within ``bound``; 0 where it never does."""
    low, high = 0.0, saturation(measured) * 0.999
    for _ in range(STEPS):
        rate = (low + high) / 2
        queue, besides = measured.queue(rate)
        fits = rate < queue.saturation and queue.response(rate).quantile(share) + besides <= bound
        low, high = (rate, high) if fits else (low, rate)
    return low if low > saturation(measured) * 1e-3 else 0.0


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
            f" {np.quantile(measured.latencies, share) * 1e3:.4g} ms without waiting. Ask for a higher bound, or for"
            " shorter lists"
        )
    needed = ceil(rps / (most * headroom))
    machines = ceil(needed / cores) + 1
    workers = (machines - 1) * cores if machines > 2 else max(needed, 1)  # noqa: PLR2004 - one, and one to spare
    a_machine = ceil(workers / (machines - 1))
    rate = rps / (a_machine * (machines - 1))
    top = saturation(measured)
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
        table=[expect(measured, load * top) for load in LOADS if load * top < measured.queue(load * top)[0].saturation],
    )
