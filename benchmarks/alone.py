"""bedeck by itself: initialising, memory, every shape and length of list in every form, and one id."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bedeck
from bedeck.verified import SETTLED_SECONDS
from benchmarks.clock import Times, seconds, take_turns
from benchmarks.data import Data
from benchmarks.jobs import COLUMNS, DICTS, JSON, Answer
from benchmarks.lists import CASES, MAIN, Case, Lists
from benchmarks.memory import Memory
from benchmarks.subject import Bedeck

__all__ = ["FORMS", "LAZY", "LOOKUP", "ONE", "Alone", "observe"]

LAZY, LOOKUP = "lazy records", "look-up alone"
FORMS = (JSON.title, DICTS.title, COLUMNS.title, LAZY, LOOKUP)
ONE = Case("uniform", 1)


@dataclass(frozen=True, slots=True)
class Alone:
    """What was seen of bedeck alone.

    Seconds to open with every byte verified, to open what was verified before, and to warm; the memory that this took;
    times by the form of the answer and the case; those of `tracks.get(id)`; what the index of the tracks takes.
    """

    verify_seconds: float
    open_seconds: float
    warm_seconds: float
    memory: Memory | None
    times: Mapping[tuple[str, Case], Times]
    one: Times
    index_bits: float

    def p50(self, form: str, case: Case = MAIN) -> float:
        """Microseconds a list, by the median."""
        return self.times[form, case].p50

    @property
    def lookup_ns(self) -> float:
        """Nanoseconds an id of the look-up alone, in lists of the main case."""
        return self.p50(LOOKUP) * 1000 / (MAIN.size or 1)


def observe(data: Data, lists: int, others: int) -> Alone:
    """Measure all that; so many lists of the main case, and of each of the others, for each form."""
    _settle(data.store)
    verify_seconds = seconds(lambda: bedeck.open(data.store, verify="always"))
    gc.collect()
    before = Memory.now()
    opened: list[bedeck.Catalogue] = []
    open_seconds = seconds(lambda: opened.append(bedeck.open(data.store)))
    warm_seconds = seconds(opened[0].warm)
    after = Memory.now()
    subject = Bedeck(data, JSON)
    card, nothing = subject.tracks.select(*DICTS.fields), subject.tracks.select()
    answers: dict[str, Answer] = {
        **{job.title: subject.answer(job) for job in (JSON, DICTS, COLUMNS)},
        LAZY: card.records,
        LOOKUP: nothing.decorate_json,
    }
    texts = {case: _texts(data, case, lists if case == MAIN else others) for case in CASES}
    turns = {
        (form, case): (answer, texts[case][place])
        for case in CASES
        for place, (form, answer) in enumerate(answers.items())
    }
    subject.warm()
    times = {name: _timed(turn) for name, turn in turns.items()}
    get = subject.tracks.get
    one = _timed((lambda ids: get(ids[0]), Lists(data).of(ONE, lists, seed=7)))
    return Alone(
        verify_seconds,
        open_seconds,
        warm_seconds,
        after.since(before) if before and after else None,
        times,
        one,
        subject.catalogue.info()["types"]["track"]["counters"]["index_bits_per_1000_keys"] / 1000,
    )


def _timed(turn: tuple[Answer, list[str]]) -> Times:
    answer, texts = turn
    take_turns({"warm-up": (answer, texts[: max(1, len(texts) // 10)])})
    return take_turns({"timed": turn})["timed"]


def _texts(data: Data, case: Case, count: int) -> list[list[str]]:
    # Lists for each form: of the main case the same, they name more tracks than a cache holds; of the others its own.
    if case == MAIN:
        return [Lists(data).of(case, count, seed=6)] * len(FORMS)
    texts = Lists(data).of(case, count * len(FORMS), seed=6)
    return [texts[place :: len(FORMS)] for place in range(len(FORMS))]


def _settle(store: Path) -> None:
    # That younger files were verified is not remembered, and opening them again would be no faster.
    youngest = max(path.stat().st_ctime for path in store.rglob("*") if path.is_file())
    while time.time() - youngest <= SETTLED_SECONDS:
        time.sleep(0.1)
