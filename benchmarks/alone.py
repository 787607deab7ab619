"""bedeck by itself: initialising, memory, and lists of other lengths."""

import gc
import time
from dataclasses import dataclass
from pathlib import Path

import bedeck
from bedeck.verified import SETTLED_SECONDS
from benchmarks.clock import Times, take_turns
from benchmarks.data import Data
from benchmarks.jobs import DICTS, JSON
from benchmarks.memory import Memory
from benchmarks.subject import answering, seconds

__all__ = ["SIZES", "Alone", "observe"]

SIZES = (1, 10, 100, 1000)
_FORMS = ("JSON body", "list of dicts", "lazy records")


@dataclass(frozen=True, slots=True)
class Alone:
    """What was seen of bedeck alone.

    Seconds to open with every byte verified, to open what was verified before, and to warm; the memory that this took;
    times by the form of the answer and the length of the list.
    """

    verify_seconds: float
    open_seconds: float
    warm_seconds: float
    memory: Memory | None
    times: dict[tuple[str, int], Times]


def observe(data: Data, lists: int) -> Alone:
    """Measure all that; so many lists of each length for each form."""
    _settle(data.store)
    verify_seconds = seconds(lambda: bedeck.open(data.store, verify="always"))
    gc.collect()
    before = Memory.now()
    opened: list[bedeck.Catalogue] = []
    open_seconds = seconds(lambda: opened.append(bedeck.open(data.store)))
    catalogue = opened[0]
    warm_seconds = seconds(catalogue.warm)
    card = catalogue["track"].select(*DICTS.fields)
    answers = dict(zip(_FORMS, (answering(catalogue, JSON), card.decorate, card.records), strict=True))
    after = Memory.now()
    turns = {
        (form, size): (answer, data.lists(lists, size, seed=seed * 10_000 + size))
        for seed, (form, answer) in enumerate(answers.items())
        for size in SIZES
    }
    catalogue.warm()
    take_turns({name: (answer, texts[: lists // 10]) for name, (answer, texts) in turns.items()})
    times = {name: times for name, turn in turns.items() for times in take_turns({name: turn}).values()}
    return Alone(verify_seconds, open_seconds, warm_seconds, after.since(before) if before and after else None, times)


def _settle(store: Path) -> None:
    # That younger files were verified is not remembered, and opening them again would be no faster.
    youngest = max(path.stat().st_ctime for path in store.rglob("*") if path.is_file())
    while time.time() - youngest <= SETTLED_SECONDS:
        time.sleep(0.1)
