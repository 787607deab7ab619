"""Processes of their own for what would disturb others: memory is given back whole, and no peer sees another's heap."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from benchmarks.memory import anonymous

__all__ = ["apart", "watched"]

P = ParamSpec("P")
R = TypeVar("R")

_EVERY = 0.02  # seconds between two looks at a process
_ENDED = (
    "benchmarks: a measuring process ended early. If it printed no error it was killed, most likely for want of "
    "memory: 5 M tracks need about 8 GB, --tracks chooses fewer, --peers leaves some out"
)


def apart(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Do that in a fresh process and return what it returns. Exits with a message if the process ends before."""
    return watched(work, *args, **kwargs)[0]


def watched(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, int]:
    """The same, and the most bytes of anonymous memory that the process had, looked at fifty times a second."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            process, peak = pool.submit(os.getpid).result(), 0
            doing = pool.submit(work, *args, **kwargs)
            while not wait([doing], _EVERY).done:
                peak = max(peak, anonymous(process))
            return doing.result(), peak
        except BrokenProcessPool:
            raise SystemExit(_ENDED) from None
