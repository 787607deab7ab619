"""What a request takes of a worker, measured: for `bedeck.plan`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bedeck._bench.loads import Load, Told, outcome
from bedeck.plan import At, Measured

__all__ = ["measured"]

LADDER: Final = (0.1, 0.2, 0.4, 0.6, 0.8)  # of the saturation; at the first hardly any request waits
MILLION: Final = 1e6


def measured(load: Load, workers: Sequence[int], seconds: float) -> Measured:
    """From a service whose processes ``workers`` get nothing but this load, within some ``seconds``.

    Raises ``ValueError`` where not every request is answered with 200: others take something else.
    """
    each = seconds / (len(LADDER) + 2)
    closed = whole(load.run(None, each, warm=each / 10))
    top = closed["status"]["200"] / closed["seconds"]
    alone = whole(replace(load, connections=1).run(None, each, warm=each / 10))
    steps: list[At] = []
    besides: list[float] = []
    for share in LADDER:
        before = busy(workers)
        told = whole(load.run(top * share, each, warm=0.0))
        took = (busy(workers) - before) / told["status"]["200"]
        besides = besides or spread(told)
        # A request takes one of the workers, each of which gets its part.
        steps.append(At(top * share / len(workers), took, told["latency"]["200"]["p50"] / MILLION))
    return Measured(top / len(workers), spread(alone), besides, steps)


def whole(told: Told) -> Told:
    """The same, where every request was answered with 200, and there was one."""
    if set(told["status"]) == {"200"} and not told["errors"]:
        return told
    if not told["status"] and not told["errors"]:
        raise ValueError(f"no request ended within {told['seconds']:.2g} s: measure for longer, with more seconds")
    raise ValueError(
        f"not all requests were answered with 200, as a plan takes it: {outcome(told)}. Ask for what the service takes,"
        " and for shorter lists where it is too slow"
    )


def spread(told: Told) -> list[float]:
    """The latencies of answers, in seconds: some quantiles for all of them."""
    return [micros / MILLION for micros in told["latency"]["200"]["spread"]]


def busy(workers: Sequence[int]) -> float:
    """Seconds of processor time that the main threads of processes have taken: those that answer."""
    return sum(int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii").split()[0]) for pid in workers) / 1e9
