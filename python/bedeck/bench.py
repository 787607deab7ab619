"""Load for a service over HTTP: how many requests it answers, how long they take, and what it does with too many.

Requests are due at set times, however long those before them take, and their latency counts from then (no coordinated
omission). Load comes from one core of this host: give the service others. Nothing is sent to other hosts unless they
are named.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final, Literal

from bedeck._bench.loads import Arrivals, Load, Told, goodput, in_time, saturation
from bedeck.store import Store

__all__ = ["SCENARIOS", "Bench", "Scenario"]

Scenario = Literal["steady", "saturation", "overload", "refresh"]
SCENARIOS: Final = ("steady", "saturation", "overload", "refresh")

FEWEST: Final = 400  # connections for more than can be answered
RECOVERED: Final = 0.97  # of what is asked for is answered in time again
MOST: Final = 10_000  # that a worker takes

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Bench:
    """A service, and load for it. ``bound`` is what an answer may take, in seconds."""

    load: Load
    bound: float = 0.05
    arrivals: Arrivals = "poisson"

    def steady(self, rate: float, seconds: float) -> Told:
        """So many requests a second."""
        return self._described(self.load.run(rate, seconds, self.arrivals), "steady")

    def saturation(self, seconds: float, say: Say) -> Told:
        """The most requests a second of which 99 % are answered within the bound.

        Raises ``ValueError`` where none is answered with 200.
        """
        say("searching the highest rate that is kept up with")
        rate, runs = saturation(self.load, self.bound, max(2.0, seconds / 6))
        last = next((run for run in reversed(runs) if run["rate"] == rate), runs[0])
        return {**self._described(last, "saturation"), "saturation": rate, "searched": [_brief(run) for run in runs]}

    def overload(self, factor: float, seconds: float, say: Say) -> Told:
        """``factor`` times what it can, and then half of that, to see whether it recovers.

        Over at least as many connections as requests may be on their way, twice within the bound: where one has to wait
        for a connection on this side, the service was not asked for that much, and no share of its saturation is told.

        Raises ``ValueError`` where there is no rate that it keeps up with.
        """
        rate = float(self.saturation(seconds, say)["saturation"])
        if not rate:
            raise ValueError(f"99 % within {self.bound * 1e3:g} ms are kept at no rate: ask for a higher bound")
        say(f"{factor:g} times as much: {factor * rate:,.0f} a second")
        enough = min(max(FEWEST, ceil(2 * factor * rate * self.bound)), MOST)
        load = replace(self.load, connections=max(self.load.connections, enough))
        told = load.run(factor * rate, seconds, self.arrivals)
        after = load.run(rate / 2, 3, self.arrivals, warm=2)
        return {
            **self._described(told, "overload"),
            "saturation": rate,
            "goodput_of_saturation": None if told["backlog"] else goodput(told, self.bound) / rate,
            "recovered": in_time(after, self.bound) >= RECOVERED,
        }

    def refresh(self, rate: float, seconds: float, store: Store, every: float, say: Say) -> Told:
        """So many requests a second, while the store announces its two newest versions in turn."""
        from bedeck._bench.announcing import announcing  # noqa: PLC0415 - only here

        with announcing(store, every, say) as announced:
            told = self.load.run(rate, seconds, self.arrivals)
        return {**self._described(told, "refresh"), "announced": announced()}

    def _described(self, told: Told, scenario: Scenario) -> Told:
        return {"scenario": scenario, "bound": self.bound, "goodput": goodput(told, self.bound), **told}


def _brief(told: Told) -> dict[str, Any]:
    good = told["latency"].get("200", {})
    return {
        "rate": told["rate"],
        "answered": told["status"].get("200", 0) / told["seconds"],
        "p99": good.get("p99"),
        "errors": sum(told["errors"].values()),
    }
