"""Changes of a catalogue while it is served: what a cycle ships, how soon it is served, and what readers notice."""

import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import perf_counter, perf_counter_ns, sleep, time_ns
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import bedeck
from bedeck.store import Store
from benchmarks import machine
from benchmarks.batches import Batches, batches
from benchmarks.clock import Times, take_turns
from benchmarks.data import Data
from benchmarks.jobs import JSON, Answer
from benchmarks.lists import MAIN, Lists
from benchmarks.memory import anonymous
from benchmarks.processes import apart, watched

__all__ = ["CHANGED", "Publication", "Readers", "Refresh", "refresh"]

CHANGED = 0.01  # share of the tracks that get another title
GONE = 0.0005  # share that are removed, and as many are new
POLL = 1.0  # seconds between two looks at the log
SPELL = 20.0  # seconds of reading, quiet or not
PAUSE = 0.1  # seconds between two pins
LISTS = 20_000
LEAST_OF_TIMES = 5


@dataclass(frozen=True, slots=True)
class Publication:
    """A cycle: its seconds, bytes written, and the most anonymous memory that it had."""

    version: int
    seconds: float
    bytes: int
    peak: int


@dataclass(frozen=True, slots=True)
class Served:
    """A version as a consumer on the same host took it.

    Seconds from its announcement, seconds of the refresh itself, and the most anonymous bytes that this added.
    """

    seconds: float
    refresh_seconds: float
    private: int


@dataclass(frozen=True, slots=True)
class Readers:
    """Lists of 100 as JSON by one thread: quiet, and while the version is changed over and over."""

    quiet: Times
    during: Times
    refreshes: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """All of it, at one size. `beside` has times of base and overlay taking turns, by the form of the answer."""

    tracks: int
    machine: Mapping[str, str]
    started: datetime
    whole: Publication
    changed: Publication
    popularity: Publication
    served: Served
    readers: Readers
    beside: Mapping[str, tuple[Times, Times]]
    diff_seconds: float
    diff_peak: int
    batches: Batches

    def keep(self, data: Data) -> None:
        """Write it down, for reports to come."""
        _file(data).write_bytes(pickle.dumps(self))

    @classmethod
    def kept(cls, data: Data) -> "Refresh | None":
        """What was last kept for this size."""
        run = pickle.loads(_file(data).read_bytes()) if _file(data).exists() else None  # noqa: S301 - our own file
        return run if isinstance(run, cls) else None


def _file(data: Data) -> Path:
    return data.folder / "refresh.pickle"


def refresh(data: Data) -> Refresh:
    """Measure all that, in a store of its own that is removed afterwards."""
    started, began = datetime.now(UTC), perf_counter()

    def say(doing: str) -> None:
        print(f"{perf_counter() - began:7.1f} s  {doing}", flush=True)

    say(f"{data.tracks:,} synthetic tracks, and what becomes of them")
    apart(data.make)
    apart(data.alter, "changed", _retitled)
    apart(data.alter, "popular", _repopulated)
    store = data.folder / "changing"
    shutil.rmtree(store, ignore_errors=True)
    say("the first version")
    whole = _publish(data, None)
    say("a version with some tracks changed, and a consumer that follows")
    changed, served = apart(_follow, data)
    say("the same, of the popularity of all tracks alone")
    Store.at(store).rollback(1, "measure a change of popularity alone")
    popularity = _publish(data, "popular")
    say("base and overlay side by side")
    beside = apart(_beside, data)
    say("readers while versions change")
    readers = apart(_read, data)
    say("what is different")
    diff_seconds, diff_peak = watched(_diff, data)
    shutil.rmtree(store)
    say("batches of two types while the version changes back to back")
    of_two = apart(batches, data.folder / "batches")
    say("done")
    return Refresh(
        data.tracks,
        machine.stamp(),
        started,
        whole,
        changed,
        popularity,
        served,
        readers,
        beside,
        diff_seconds,
        diff_peak,
        of_two,
    )


def _retitled(tracks: pa.Table, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    other = pa.array(rng.random(len(tracks)) < CHANGED)
    title = tracks["title"].combine_chunks()
    changed = pc.if_else(other, pc.binary_join_element_wise(title, pa.scalar("(live)"), " "), title)
    tracks = tracks.set_column(tracks.schema.get_field_index("title"), tracks.schema.field("title"), changed)
    few = int(len(tracks) * GONE)
    new = tracks.slice(0, few)
    keys = pa.array([f"0{seed:04x}{place:08x}new000000"[:22].ljust(22, "0") for place in range(few)])
    new = new.set_column(0, "id", keys)
    return pa.concat_tables([tracks.slice(few), new])


def _repopulated(tracks: pa.Table, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed + 10_000)
    field = tracks.schema.field("popularity")
    now = pa.array(rng.integers(0, 101, len(tracks)), field.type, mask=tracks["popularity"].is_null().to_numpy())
    return tracks.set_column(tracks.schema.get_field_index("popularity"), field, now)


def _publish(data: Data, tracks: str | None) -> Publication:
    cycle, peak = watched(_cycle, data, tracks)
    return Publication(cycle.version or 0, cycle.seconds, cycle.bytes, peak)


def _cycle(data: Data, tracks: str | None) -> bedeck.Cycle:
    sources = {"track": str(data.folder / tracks / "*.parquet")} if tracks else None
    allow = {"changed-records": "the popularity of all tracks is new"} if tracks == "popular" else {}
    return bedeck.Producer(data.folder / "changing", data.source / "catalogue.toml").cycle(sources, allow=allow)


def _follow(data: Data) -> tuple[Publication, Served]:
    store = data.folder / "changing"
    catalogue = bedeck.open(store, follow=True, poll=POLL)
    catalogue.warm()
    moved = Flag()
    seen: list[int] = []

    def note(event: bedeck.Event) -> None:
        if event.kind == "refreshed":
            seen.append(time_ns())
            moved.set()

    catalogue.listen(note)
    with _peak() as most:
        published = _publish(data, "changed")
        if not moved.wait(60):
            raise SystemExit(f"benchmarks: version {published.version} was not served within a minute")
    status = catalogue.status()
    announced = max((store / "log").iterdir()).stat().st_mtime_ns
    catalogue.close()
    return published, Served((seen[0] - announced) / 1e9, status.seconds or 0, most.bytes)


class _peak:  # noqa: N801 - reads as a verb where it is used
    """The most anonymous bytes that this process has on top of those at the start, looked at often."""

    def __init__(self) -> None:
        self.bytes = 0
        self._before = anonymous(os.getpid())
        self._ended = Flag()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.005):
            self.bytes = max(self.bytes, anonymous(os.getpid()) - self._before)


def _beside(data: Data) -> dict[str, tuple[Times, Times]]:
    catalogues = [bedeck.open(data.folder / "changing", version=version) for version in (1, 2)]
    for catalogue in catalogues:
        catalogue.warm()
    lists = Lists(data).of(MAIN, LISTS, 2)
    half = len(lists) // 2
    found = {}
    for form, answers in _forms(catalogues).items():
        # Each half by one, then by the other, so that both have the same lists and neither finds them warm.
        one = take_turns({0: (answers[0], lists[:half]), 1: (answers[1], lists[half : 2 * half])})
        found[form] = (one[0], one[1])
    return found


def _forms(catalogues: list[bedeck.Catalogue]) -> dict[str, list[Answer]]:
    tracks = [catalogue["track"] for catalogue in catalogues]
    return {
        JSON.title: [of.select(*JSON.fields).decorate_json for of in tracks],
        "look-up alone": [of.select().decorate_json for of in tracks],
    }


def _read(data: Data) -> Readers:
    store = data.folder / "changing"
    Store.at(store).pin(1, "measure refreshes")
    catalogue = bedeck.open(store, follow=True, poll=PAUSE / 2)
    catalogue.warm()
    answer = catalogue["track"].select(*JSON.fields).decorate_json
    lists = Lists(data).of(MAIN, LISTS, 3)
    _spell(answer, lists, SPELL / LEAST_OF_TIMES)
    quiet = _spell(answer, lists, SPELL)
    before = catalogue.status().refreshes
    with _changing(store):
        during = _spell(answer, lists, SPELL)
    refreshes = catalogue.status().refreshes - before
    catalogue.close()
    Store.at(store).unpin("measured")
    return Readers(quiet, during, refreshes)


def _spell(answer: Answer, lists: list[str], limit: float) -> Times:
    taken: list[int] = []
    until = perf_counter() + limit
    while perf_counter() < until:
        for text in lists:
            ids = text.split(" ")
            start = perf_counter_ns()
            result = answer(ids)
            del result
            taken.append(perf_counter_ns() - start)
            if perf_counter() >= until:
                break
    return Times.of(taken)


class _changing:  # noqa: N801 - reads as a verb where it is used
    """Another process pins one version and the other, in turns."""

    def __init__(self, store: Path) -> None:
        from multiprocessing import get_context  # noqa: PLC0415 - only here

        context = get_context("spawn")
        self._ended = context.Event()
        self._process = context.Process(target=_pin, args=(store, self._ended))

    def __enter__(self) -> None:
        self._process.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._process.join()


def _pin(store: Path, ended: Any) -> None:  # noqa: ANN401 - an event of multiprocessing
    opened = Store.at(store)
    for version in _in_turns(2, 1):
        if ended.is_set():
            return
        opened.pin(version, "measure refreshes")
        sleep(PAUSE)


def _in_turns(*versions: int) -> Iterator[int]:
    while True:
        yield from versions


def _diff(data: Data) -> float:
    began = perf_counter()
    bedeck.diff(data.folder / "changing", 1, 2)
    return perf_counter() - began
