"""Two sides, each in a process of its own, asked the same in turn: what each takes to start, and for each list."""

import gc
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from bedeck._demo.sides import Side
from bedeck.errors import Error

__all__ = ["Contestant", "Start", "Times", "check_same", "contestants", "take_turns"]

Verb = Literal["decorate", "decorate_json"]
P = ParamSpec("P")
T = TypeVar("T")
Lists = Sequence[Sequence[str]]

ROUND = 50  # lists of one side before it is the other's turn

_HELD: list[Side] = []  # in a side's own process: that side


@dataclass(frozen=True, slots=True)
class Start:
    """What it took to initialise a side: seconds, and bytes of memory that are private to its process (Linux only)."""

    seconds: float
    private_bytes: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds for a list: the median, and what one in a hundred exceeds."""

    p50: float
    p99: float


class Contestant:
    """A side in a process of its own. Raises `Error` where that process is ended by somebody else."""

    def __init__(self, process: ProcessPoolExecutor, side: type[Side]) -> None:
        self._process = process
        self._side = side

    def start(self, folder: Path) -> Start:
        """Initialise it from a folder."""
        return self._ask(_start, self._side, folder)

    def answers(self, verb: Verb, lists: Lists) -> list[Any]:
        """What it answers to each list."""
        return self._ask(_answers, verb, lists)

    def nanoseconds(self, verb: Verb, lists: Lists) -> list[int]:
        """How long it takes for each list."""
        return self._ask(_nanoseconds, verb, lists)

    def _ask(self, what: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        try:
            return self._process.submit(what, *args, **options).result()
        except BrokenProcessPool as error:
            raise Error(
                f"the process of {self._side.__name__} was ended, for want of memory perhaps: try fewer tracks"
            ) from error


@contextmanager
def contestants(*sides: type[Side]) -> Iterator[list[Contestant]]:
    """A process for each side, until the end of the block."""
    with ExitStack() as stack:
        yield [Contestant(stack.enter_context(_process()), side) for side in sides]


def check_same(one: Contestant, other: Contestant, lists: Lists) -> None:
    """Raise `Error` unless both answer alike, as dicts and as JSON."""
    answers = [side.answers("decorate", lists) for side in (one, other)]
    answers += [[json.loads(body) for body in side.answers("decorate_json", lists)] for side in (one, other)]
    for ids, first, *others in zip(lists, *answers, strict=True):
        if any(answer != first for answer in others):
            raise Error(f"the two sides answer differently to the list of {len(ids)} ids that starts with {ids[0]}")


def take_turns(sides: Sequence[Contestant], verb: Verb, lists: Lists) -> list[Times]:
    """What each side takes for a list, a few lists at a time, so that what else the machine does hits them alike."""
    taken: list[list[int]] = [[] for _ in sides]
    for first in range(0, len(lists), ROUND):
        for side, times in zip(sides, taken, strict=True):
            times.extend(side.nanoseconds(verb, lists[first : first + ROUND]))
    return [_times(sorted(times)) for times in taken]


@contextmanager
def _process() -> Iterator[ProcessPoolExecutor]:
    # Made anew, it has nothing of the memory of this one. Ctrl-C waits until it can end without a word.
    process, others = ProcessPoolExecutor(1, get_context("spawn")), active_children()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.submit(_end_at_interrupt)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    own = [child for child in active_children() if child not in others]
    with process:
        try:
            yield process
        except BaseException:
            for child in own:  # nobody waits for its answer any more
                child.terminate()
            raise


def _end_at_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start(side: type[Side], folder: Path) -> Start:
    gc.collect()
    before = _private_bytes()
    started = time.perf_counter()
    gc.disable()  # objects that stay are not worth searching for rubbish, now or later
    _HELD.append(side(folder))
    seconds = time.perf_counter() - started
    gc.collect()
    gc.freeze()
    gc.enable()
    after = _private_bytes()
    return Start(seconds, None if before is None or after is None else after - before)


def _answers(verb: Verb, lists: Lists) -> list[Any]:
    decorate = getattr(_HELD[0], verb)
    return [decorate(ids) for ids in lists]


def _nanoseconds(verb: Verb, lists: Lists) -> list[int]:
    decorate = getattr(_HELD[0], verb)
    taken = []
    for ids in lists:
        started = time.perf_counter_ns()
        decorate(ids)
        taken.append(time.perf_counter_ns() - started)
    return taken


def _private_bytes() -> int | None:
    """Memory of this process that it shares with no other, the page tables for what it does share included."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "VmPTE:")))


def _times(nanoseconds: Sequence[int]) -> Times:
    last = len(nanoseconds) - 1
    return Times(nanoseconds[last // 2] / 1000, nanoseconds[last * 99 // 100] / 1000)
