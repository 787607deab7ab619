"""How long requests wait for each other: the response times of a queue, from what one request takes.

Times are seconds, rates requests a second. Arrivals are Poisson: many clients that do not know of one another. Service
times are independent of each other, and of what waits. Needs numpy.

Sources: L. Kleinrock, Queueing Systems, vol. 1 (1975), ch. 5 (Pollaczek-Khinchine); A. O. Allen, Probability,
Statistics, and Queueing Theory (1990), ch. 5, for several servers; A. M. Lee and P. A. Longton, Queueing Processes
Associated with Airline Passenger Check-in (1959), for the idea that a shared queue waits as a single server does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log2
from typing import Any, Final

import numpy as np

__all__ = ["Queue", "Response", "breaking_rate", "erlang_c"]

FINEST: Final = 128  # steps of the grid in a mean service time
LONGEST: Final = 16  # logarithm of the most steps of a grid
TAIL: Final = 50.0  # how many of its mean lengths a waiting time is looked at
SEARCHED: Final = 40

Array = Any  # numpy's arrays of float64


@dataclass(frozen=True, slots=True)
class Response:
    """A distribution of response times: ``mass[i]`` is the share from ``i`` to ``i + 1`` steps after ``start``."""

    step: float
    mass: Array
    mean: float
    utilisation: float
    start: float = 0.0

    def quantile(self, share: float) -> float:
        """What a ``share`` of all requests does not take longer than. Within a step of the grid."""
        if not 0 < share < 1:
            raise ValueError(f"share={share!r}: a number between 0 and 1 is expected")
        sums = np.cumsum(self.mass)
        place = int(np.searchsorted(sums, share * sums[-1]))
        return self.start + (min(place, len(sums) - 1) + 1) * self.step

    def plus(self, samples: Sequence[float] | Array) -> "Response":
        """The same with something that each takes besides, keeping no other waiting: a sample at random."""
        length = len(self.mass)
        places = np.minimum((np.asarray(samples) / self.step).astype(int), length - 1)
        size = 1 << ceil(log2(2 * length))
        both = np.fft.rfft(self.mass, size) * np.fft.rfft(_masses(places, length), size)
        mass = np.clip(np.fft.irfft(both, size)[: 2 * length], 0, None)
        return replace(self, mass=mass, mean=self.mean + float(np.mean(samples)))

    def later(self, seconds: float) -> "Response":
        """The same with ``seconds`` that each takes besides, or less, where they are below 0."""
        return replace(self, start=self.start + seconds, mean=self.mean + seconds)


class Queue:
    """Requests that wait for ``servers`` that share a line, each of which takes a sampled time for one.

    Servers with lines of their own, as worker processes with sockets of their own are, are so many queues with one
    server each, and a part of the arrivals.
    """

    def __init__(self, service: Sequence[float] | Array, *, servers: int = 1) -> None:
        self.service = np.asarray(service, dtype=float)
        if self.service.ndim != 1 or not len(self.service) or not (self.service > 0).all():
            raise ValueError("service: a list of seconds above 0 is expected, with one at least")
        if servers < 1:
            raise ValueError(f"servers={servers}: one at least is expected")
        self.servers = servers

    @cached_property
    def mean(self) -> float:
        """The mean service time."""
        return float(self.service.mean())

    @property
    def saturation(self) -> float:
        """The rate from which on the line grows without end."""
        return self.servers / self.mean

    def utilisation(self, rate: float) -> float:
        """The share of time in which a server works. Raises ``ValueError`` where that would be all of it."""
        if not rate >= 0:
            raise ValueError(f"rate={rate!r}: a number of requests a second is expected")
        if rate >= self.saturation:
            raise ValueError(
                f"rate={rate:.6g} is not below the saturation, {self.saturation:.6g} a second: the line would grow"
                " without end. Use more servers"
            )
        return rate / self.saturation

    def mean_wait(self, rate: float) -> float:
        """What a request waits on average; exact for one server (Pollaczek-Khinchine), else by Allen and Cunneen."""
        load = self.utilisation(rate)
        variation = float((self.service**2).mean()) / self.mean**2  # 1 + CV^2
        waits = erlang_c(self.servers, load) if self.servers > 1 else load
        return waits * self.mean / (self.servers * (1 - load)) * variation / 2

    def response(self, rate: float) -> Response:
        """The distribution of response times, by the series of Pollaczek and Khinchine on a grid.

        A request that waits has to wait for a geometric number of residual services; the transform of that is a
        quotient, which FFT gives. With several servers a request waits with the probability of Erlang C, and then as
        one that has a server as fast as all of them (exact for exponential services). Linearithmic in the grid.
        """
        load = self.utilisation(rate)
        step, length = self._grid(load)
        size = 1 << ceil(log2(2 * length))
        served = _masses(self.service / step, size)
        waiting = _spread(_residual(self.service / self.servers, step, length), load, size)
        if self.servers > 1:
            waits, alike = erlang_c(self.servers, load), load
            waiting = waiting * (waits / alike) if alike else waiting
            waiting[0] = 1 - waits + (waiting[0] - (1 - load) * waits / alike if alike else 0)
        mass = np.fft.irfft(np.fft.rfft(waiting, size) * np.fft.rfft(served, size), size)[:length]
        return Response(step, np.clip(mass, 0, None), self.mean + self.mean_wait(rate), load)

    def _grid(self, load: float) -> tuple[float, int]:
        longest = float(self.service.max())
        reach = TAIL * (longest + self.mean / (1 - load)) / 2
        step = max(self.mean / FINEST, reach / (1 << LONGEST))
        return step, ceil(reach / step)


def erlang_c(servers: int, load: float) -> float:
    """The share of requests that wait in M/M/c, each server working for a share ``load`` of the time."""
    offered, blocked = servers * load, 1.0
    for number in range(1, servers + 1):  # Erlang B, by its recursion
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def breaking_rate(queue: Queue, share: float, bound: float, overhead: float = 0.0) -> float:
    """The highest rate at which a ``share`` of requests takes at most ``bound`` seconds; 0 where none does.

    ``overhead`` is what each takes besides, without keeping a server. By bisection.
    """
    low, high = 0.0, queue.saturation * (1 - 1e-6)
    if queue.response(0).quantile(share) + overhead > bound:
        return 0.0
    for _ in range(SEARCHED):
        rate = (low + high) / 2
        if queue.response(rate).quantile(share) + overhead <= bound:
            low = rate
        else:
            high = rate
        if high - low < queue.saturation * 1e-4:
            break
    return low


def _masses(places: Array, size: int) -> Array:
    """The share of samples in each step."""
    return np.bincount(np.minimum(places.astype(int), size - 1), minlength=size) / len(places)


def _residual(service: Array, step: float, length: int) -> Array:
    """What is left of a service that is under way, on the grid: the survival function over the mean."""
    ordered = np.sort(service)
    edges = np.arange(length + 1) * step
    # The integral of the survival function up to each edge is the mean of min(service, edge).
    below = np.searchsorted(ordered, edges, side="right")
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    limited = (sums[below] + (len(ordered) - below) * edges) / len(ordered)
    return np.diff(limited) / ordered.mean()


def _spread(residual: Array, load: float, size: int) -> Array:
    """The waiting time: the sum of a geometric number of residual services."""
    transform = np.fft.rfft(residual, size)
    return np.fft.irfft((1 - load) / (1 - load * transform), size)
