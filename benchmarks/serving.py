"""bedeck over HTTP beside other services: how many requests, how soon, and what becomes of too many.

The services run on one core, the load comes from another.
"""

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import socket
from statistics import median
from typing import Any, Final

import pyarrow as pa

import bedeck
from bedeck._bench.announcing import announcing
from bedeck._bench.loads import Load, Told, goodput
from bedeck._bench.measuring import measured
from bedeck._bench.service import Service
from bedeck._bench.traffic import post
from bedeck.plan import Expected, expect
from bedeck.store import Store
from benchmarks import machine
from benchmarks.built import build
from benchmarks.data import Data
from benchmarks.jobs import JSON
from benchmarks.lists import MAIN, Case, Lists
from benchmarks.peers.redis import Redis
from benchmarks.services import PATH, SERVICES

__all__ = ["Forecast", "Overload", "Serving", "planned", "serving"]

OURS: Final = "bedeck serve"
UNCOUNTED: Final = "bedeck, nothing counted"
CONSTANT: Final = "constant body"
ROUNDS: Final = 5
SPELL: Final = 2.0  # seconds of load at a time
LISTS: Final = 2000
STEADY: Final = 20.0  # seconds of looking at the machine
BOUND: Final = 0.05
LONG: Final = Case("uniform", 1000)
OVERLOAD: Final = 60.0  # seconds
REFRESHED: Final = 300.0
REFRESHES: Final = 50
LOADS: Final = (0.3, 0.5, 0.7, 0.85)  # of the saturation, at which plans are compared with measurements
PATIENCE: Final = 900.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Side:
    """What was measured of one service, a value for each round: requests a second, and microseconds."""

    saturation: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)  # p50 with one connection
    half: list[Told] = field(default_factory=list)  # at half of the saturation


@dataclass(frozen=True, slots=True)
class Overload:
    """More than can be answered, for a while."""

    size: int
    factor: float
    saturation: float
    told: Told
    memory: tuple[int, int]  # of the workers alone, before and after
    recovered: float  # goodput a second at half load right after, as a share of what was asked for

    @property
    def goodput(self) -> float:
        """Of the saturation."""
        return goodput(self.told, BOUND) / self.saturation


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `bedeck.plan` expected of one worker at loads, and what was measured then. Seconds, requests a second."""

    expected: list[Expected]
    measured: list[Told]
    saturation: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Serving:
    """All of it."""

    tracks: int
    machine: dict[str, str]
    started: datetime
    sides: dict[str, Side]
    inside: list[float]  # microseconds of `decorate_json` in a process on the same core
    overloads: list[Overload]
    quiet: Told
    refreshed: Told
    refreshes: int
    forecasts: list[Forecast]

    def keep(self, data: Data) -> None:
        """Write it down, for reports to come."""
        _file(data).write_bytes(pickle.dumps(self))

    def of(self, name: str, figure: str) -> float:
        """The median of a figure."""
        return float(median(getattr(self.sides[name], figure)))

    def times(self, name: str, other: str) -> float:
        """How many times as many requests a service answers as another: the median of the rounds."""
        pairs = zip(self.sides[name].saturation, self.sides[other].saturation, strict=True)
        return float(median(one / two for one, two in pairs))

    def added(self, figure: Callable[[Side], list[float]]) -> float:
        """What a request to ours takes beside one to the constant body: the median of the rounds. Microseconds."""
        pairs = zip(figure(self.sides[OURS]), figure(self.sides[CONSTANT]), strict=True)
        return float(median(ours - constant for ours, constant in pairs))

    def tail(self, name: str) -> float:
        """The p99.9 at half of the saturation: the median of the rounds."""
        return float(median(told["latency"]["200"]["p999"] for told in self.sides[name].half))


def _file(data: Data) -> Path:
    return data.folder / "serving.pickle"


def serving(data: Data, say: Say) -> Serving:
    """Measure. Takes a quarter of an hour, and 12 GB of memory at 5 million tracks."""
    data.make()
    build(data, anew=False)
    started = datetime.now(UTC)
    stamp = {**machine.stamp(), "steadiness": machine.steadiness(0, STEADY)}
    lists = [line.split() for line in Lists(data).of(MAIN, LISTS, seed=1)]
    sides, inside = _beside(data, lists, say)
    long = [line.split() for line in Lists(data).of(LONG, LISTS // 4, seed=1)]
    overloads = [_overload(data, lists, 1.5, say), _overload(data, long, 3.0, say)]
    quiet, refreshed, refreshes = _refreshed(data, lists, say)
    forecasts = planned(data, lists, say)
    return Serving(data.tracks, stamp, started, sides, inside, overloads, quiet, refreshed, refreshes, forecasts)


def _beside(data: Data, lists: Sequence[list[str]], say: Say) -> tuple[dict[str, Side], list[float]]:
    with ExitStack() as stack:
        say("starting services")
        Redis.prepare(data, JSON)
        stack.enter_context(Redis.running(data, JSON))
        loads = {name: stack.enter_context(_running(name, data, lists)) for name in SERVICES}
        ours = stack.enter_context(Service(str(data.store), ["--bound", "10000"], {0}))
        loads[OURS] = Load(*ours.address, post(PATH, lists, JSON.fields, "127.0.0.1"), timeout=30)
        sides, inside = {name: Side() for name in loads}, []
        with _on(1):
            for turn in range(ROUNDS):
                inside.append(_in_process(data, lists))
                for name, load in loads.items():
                    _measure(sides[name], load)
                    rate = sides[name].saturation[-1]
                    say(f"round {turn + 1}: {name}: {rate:,.0f} a second, alone {sides[name].alone[-1]:.0f} us")
    return sides, inside


def _measure(side: Side, load: Load) -> None:
    closed = _with(load, connections=32).run(None, SPELL, warm=0.5)
    side.saturation.append(closed["status"]["200"] / closed["seconds"])
    alone = _with(load, connections=1).run(None, SPELL / 2, warm=0.2)
    side.alone.append(alone["latency"]["200"]["p50"])
    side.half.append(load.run(side.saturation[-1] / 2, SPELL, warm=0.5))


def _with(load: Load, **other: Any) -> Load:  # noqa: ANN401 - its members
    members = {name: getattr(load, name) for name in ("host", "port", "requests", "connections", "timeout", "marker")}
    return Load(**{**members, **other})


def _in_process(data: Data, lists: Sequence[list[str]]) -> float:
    """The median of `decorate_json` in a process of its own, on the core of the services."""
    code = (
        "import os, sys, time, bedeck, pickle; from statistics import median\n"
        "os.sched_setaffinity(0, {0})\n"
        "lists, fields = pickle.load(sys.stdin.buffer)\n"
        "catalogue = bedeck.open(sys.argv[1]); catalogue.warm()\n"
        "card, times = catalogue['track'].select(*fields), []\n"
        "for ids in lists * 2:\n"
        "    start = time.perf_counter_ns(); card.decorate_json(ids); times.append(time.perf_counter_ns() - start)\n"
        "print(median(times[len(lists):]) / 1e3)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code, str(data.store)],
        input=pickle.dumps((list(lists), JSON.fields)),
        capture_output=True,
        check=True,
    )
    return float(done.stdout)


@contextmanager
def _running(name: str, data: Data, lists: Sequence[list[str]]) -> Iterator[Load]:
    with socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.services", name, str(port), str(data.cache), str(data.tracks)]
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {0}))  # noqa: S603, PLW1509 - ours
    load = Load("127.0.0.1", port, post(PATH, lists, JSON.fields, "127.0.0.1"), timeout=30)
    try:
        _wait(process, load)
        yield load
    finally:
        process.terminate()
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", load: Load) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            told = load.run(10, 0.5, warm=0)
        except ConnectionError:
            time.sleep(0.2)
        else:
            if told["status"].get("200"):
                return
    raise SystemExit(f"benchmarks: {process.args!r} did not start")


@contextmanager
def _on(core: int) -> Iterator[None]:
    """Have this process run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _overload(data: Data, lists: Sequence[list[str]], factor: float, say: Say) -> Overload:
    with Service(str(data.store), ["--bound", str(BOUND * 1e3)], {0}) as service, _on(1):
        load = Load(*service.address, post(PATH, lists, JSON.fields, "127.0.0.1"), connections=400)
        closed = median(_saturation(load) for _ in range(ROUNDS))
        before = service.memory()
        say(f"lists of {len(lists[0])}: {factor:g} times {closed:,.0f} a second, for {OVERLOAD:.0f} s")
        told = load.run(factor * closed, OVERLOAD)
        after = load.run(closed / 2, 2, warm=2)
        memory = before, service.memory()
    return Overload(len(lists[0]), factor, closed, told, memory, goodput(after, BOUND) / (closed / 2))


def _saturation(load: Load) -> float:
    closed = _with(load, connections=32).run(None, SPELL, warm=0.5)
    return float(closed["status"]["200"] / closed["seconds"])


def _refreshed(data: Data, lists: Sequence[list[str]], say: Say) -> tuple[Told, Told, int]:
    place = data.folder / "refreshed"
    if not place.exists():
        say("publishing two versions more")
        _publish(data, place)
    store = Store.at(place)
    with Service(str(place), ["--bound", str(BOUND * 1e3), "--poll", "0.5"], {0}) as service, _on(1):
        load = Load(*service.address, post(PATH, lists, JSON.fields, "127.0.0.1"), marker=b'"popularity":')
        rate = median(_saturation(load) for _ in range(ROUNDS)) / 2
        say(f"{rate:,.0f} a second for {REFRESHED:.0f} s, with {REFRESHES} refreshes")
        quiet = load.run(rate, REFRESHED / 5)
        with announcing(store, REFRESHED / REFRESHES, say) as announced:
            told = load.run(rate, REFRESHED)
        return quiet, told, announced()


def planned(data: Data, lists: Sequence[list[str]], say: Say) -> list[Forecast]:
    """Measure, expect, and measure what was expected, some times."""
    forecasts = []
    with Service(str(data.store), ["--bound", "60000"], {0}) as service, _on(1):
        load = Load(*service.address, post(PATH, lists, JSON.fields, "127.0.0.1"), timeout=30)
        for turn in range(ROUNDS):
            say(f"planning, round {turn + 1}")
            found = measured(load, service.workers(), 6 * SPELL)
            top = found.saturation
            expected = [expect(found, share * top) for share in LOADS]
            told = [load.run(of.rate, 2 * SPELL, warm=0.5) for of in expected]
            forecasts.append(Forecast(expected, told, (top, _saturation(load))))
    return forecasts


def _publish(data: Data, place: Path) -> None:
    """Two versions of the catalogue in which all tracks are equally popular: 11 in one, 22 in the other."""
    unfinished = place.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(data.store, unfinished)
    for popularity in (11, 22):
        name = f"popularity-{popularity}"
        data.alter(name, partial(_as_popular, popularity))
        bedeck.Producer(unfinished, data.source / "catalogue.toml").cycle(
            {"track": str(data.folder / name / "*.parquet")}, allow={"changed-records": "all are equally popular"}
        )
        shutil.rmtree(data.folder / name)
    unfinished.replace(place)


def _as_popular(popularity: int, tracks: pa.Table, _seed: int) -> pa.Table:
    place = tracks.schema.get_field_index("popularity")
    field = tracks.schema.field(place)
    return tracks.set_column(place, field, pa.array([popularity] * len(tracks), field.type))
