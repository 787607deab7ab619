"""Load for a service over HTTP: how many requests it answers, how long they take, and what it does with too many.

Requests are due at set times, however long those before them take, and their latency counts from then (no coordinated
omission). Load comes from one core of this host: give the service others. Nothing is sent to other hosts unless they
are named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from bedeck._bench.loads import Arrivals, Load, Told, goodput, saturation
from bedeck.store import Store

__all__ = ["SCENARIOS", "Bench", "Scenario"]

Scenario = Literal["steady", "saturation", "overload", "refresh"]
SCENARIOS: Final = ("steady", "saturation", "overload", "refresh")

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
        """The most requests a second of which 99 % are answered within the bound."""
        say("searching the highest rate that is kept up with")
        rate, runs = saturation(self.load, self.bound, max(2.0, seconds / 6))
        last = next((run for run in reversed(runs) if run["rate"] == rate), runs[0])
        return {**self._described(last, "saturation"), "saturation": rate, "searched": [_brief(run) for run in runs]}

    def overload(self, factor: float, seconds: float, say: Say) -> Told:
        """``factor`` times what it can, and then half of that, to see whether it recovers."""
        rate = float(self.saturation(seconds, say)["saturation"])
        say(f"{factor:g} times as much: {factor * rate:,.0f} a second")
        told = self.load.run(factor * rate, seconds, self.arrivals)
        after = self.load.run(rate / 2, 3, self.arrivals, warm=2)
        share = goodput(told, self.bound) / rate if rate else 0.0
        return {
            **self._described(told, "overload"),
            "saturation": rate,
            "goodput_of_saturation": share,
            "recovered": goodput(after, self.bound) >= 0.97 * rate / 2,
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
