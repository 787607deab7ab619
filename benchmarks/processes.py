"""Processes of their own for what would disturb others: memory is given back whole, and no peer sees another's heap."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

__all__ = ["apart"]

P = ParamSpec("P")
R = TypeVar("R")


def apart(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Do that in a fresh process and return what it returns. Exits with a message if the process ends before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *args, **kwargs).result()
        except BrokenProcessPool:
            raise SystemExit(
                "benchmarks: a measuring process ended early. If it printed no error it was killed, most likely for "
                "want of memory: 5 M tracks need about 8 GB, --tracks chooses fewer"
            ) from None
