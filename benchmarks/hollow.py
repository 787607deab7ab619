"""Netflix Hollow: in a JVM, so that it cannot take turns with bedeck in one process; beside it, on the same lists."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from benchmarks import columns, machine
from benchmarks.clock import Times, take_turns
from benchmarks.contest import WARM_UP, Contest, Effort, Match, Prepared, check, to_check
from benchmarks.data import Data
from benchmarks.jobs import DICTS, JSON, Job
from benchmarks.jvm import Unavailable, classpath, java
from benchmarks.lists import CASES, Case, Lists
from benchmarks.memory import Memory, room
from benchmarks.peers.kept import kept, seconds_of, size_of
from benchmarks.processes import apart
from benchmarks.subject import Bedeck

__all__ = ["NAME", "Hollow", "measure"]

NAME = "Netflix Hollow"
_PROJECT = Path(__file__).parent / "hollow"
_JOBS = (JSON, DICTS)
_FLOOR = 1 << 29  # bytes of heap, besides those for the tracks
_BYTES_TO_BUILD = 300  # for each track
_BYTES_TO_SERVE = 300
_SHARE = 0.8  # of the memory that it may take


@dataclass(frozen=True, slots=True)
class Hollow:
    """What was measured, and when: of which Hollow, in which JVM, with how much heap in bytes.

    `contests` are with bedeck in a process of its own, right after. They have the heap in use after garbage collection
    as private memory. Loading is to read the blob and to index the tracks. `warm_up`: seconds before each timing.
    """

    version: str
    java: str
    measured: datetime
    loads: tuple[float, float]  # of the machine, at the start and at the end
    heap: int
    warm_up: float
    read_seconds: float
    index_seconds: float
    contests: Sequence[Contest]


def measure(data: Data, effort: Effort) -> Hollow:
    """Build Hollow's blob unless it is there, load it in a JVM, compare its answers, and time it and bedeck.

    Raises `Unavailable` where that cannot be done.
    """
    needed = _FLOOR + data.tracks * _BYTES_TO_BUILD
    if needed > room() * _SHARE:
        raise Unavailable(f"its producer would take about {needed / 1e9:,.0f} GB of memory")
    path = classpath(_PROJECT, data.cache / "hollow")
    plain = kept(data.peers / "hollow-columns", lambda folder: apart(columns.write, data, folder))
    blob = kept(data.peers / "hollow.blob", lambda file: java(path, "bedeck.hollow.Produce", needed, plain, file))
    heap, warm_up = _FLOOR + data.tracks * _BYTES_TO_SERVE, effort.seconds / 2
    with TemporaryDirectory(prefix="bedeck-") as name:
        folder, started, load = Path(name), datetime.now(UTC), machine.load()
        _ask(folder, Lists(data), effort)
        java(path, "bedeck.hollow.Measure", heap, blob, folder, len(CASES), warm_up)
        told = json.loads((folder / "told").read_text("utf-8"))
        prepared = Prepared(seconds_of(plain) + seconds_of(blob), size_of(blob))
        contests = apart(_contests, data, effort, folder, prepared, told)
        return Hollow(
            version=_version(path),
            java=told["java"],
            measured=started,
            loads=(load, machine.load()),
            heap=heap,
            warm_up=warm_up,
            read_seconds=told["read"] / 1e9,
            index_seconds=told["index"] / 1e9,
            contests=contests,
        )


def _ask(folder: Path, lists: Lists, effort: Effort) -> None:
    asked = {"check": [text for texts in to_check(lists) for text in texts]}
    for number, case in enumerate(CASES):
        asked |= {f"warm-{number}": _warm_up(lists, case, effort), f"timed-{number}": _timed(lists, case, effort)}
    for name, texts in asked.items():
        (folder / name).write_text("\n".join(texts), "ascii")


def _warm_up(lists: Lists, case: Case, effort: Effort) -> list[str]:
    return lists.of(case, min(WARM_UP, effort.most(case)), seed=2)


def _timed(lists: Lists, case: Case, effort: Effort) -> list[str]:
    return lists.of(case, effort.most(case), seed=3)


def _contests(
    data: Data, effort: Effort, folder: Path, prepared: Prepared, told: Mapping[str, Any]
) -> Sequence[Contest]:
    load_seconds, memory = (told["read"] + told["index"]) / 1e9, Memory(told["heap"], 0, told["heap"])
    bedeck, lists = Bedeck(data, JSON), Lists(data)
    contests = []
    for job in _JOBS:
        checked = _check(job, bedeck, lists, effort, folder)
        matches = dict(_matches(job, bedeck, lists, effort, folder))
        contests.append(Contest(NAME, job, prepared, load_seconds, memory, 0, checked, matches))
    return contests


def _check(job: Job, bedeck: Bedeck, lists: Lists, effort: Effort, folder: Path) -> int:
    texts = [text for texts in to_check(lists) for text in texts]
    lines = (folder / f"{job.name}-check").read_bytes().splitlines()
    answers = dict(zip(texts, lines, strict=True))
    form: Callable[[bytes], Any] = bytes if job == JSON else orjson.loads
    return check(job, bedeck.answer(job), lambda ids: form(answers[" ".join(ids)]), lists, effort)


def _matches(job: Job, bedeck: Bedeck, lists: Lists, effort: Effort, folder: Path) -> Iterator[tuple[Case, Match]]:
    answer = bedeck.answer(job)
    for number, case in enumerate(CASES):
        taken = np.fromfile(folder / f"{job.name}-{number}", ">i8")
        take_turns({"warm-up": (answer, _warm_up(lists, case, effort))})
        ours = take_turns({"timed": (answer, _timed(lists, case, effort))})["timed"]
        yield case, Match(Times.of(taken.tolist()), ours)


def _version(path: Sequence[Path]) -> str:
    return next(file.stem.removeprefix("hollow-") for file in path if file.stem.startswith("hollow-"))
