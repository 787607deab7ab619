"""A demonstration: a catalogue made up, built, playlists decorated from it, and all that against a plain Python dict.

Needs numpy and pyarrow: ``pip install numpy pyarrow``.
"""

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bedeck
from bedeck._cli.terminal import counted, heading, human, status, width
from bedeck._demo.playlist import FIELDS, lines
from bedeck._demo.summary import arithmetic, comparison
from bedeck.synth import requests, synth

__all__ = ["demo"]

PLAYLISTS = 1000
CHECKED = 100  # playlists to which both answers are compared
SHOWN = 12  # tracks of the playlist that is printed
LISTS = 1000  # timed, of each kind
LIST = 100  # ids

Say = Callable[[str], object]
Facts = dict[str, Any]


def demo(tracks: int = 1_000_000, *, keep: Path | None = None, say: Say = print) -> Facts:
    """Tell ``say``, line by line, what bedeck does with a catalogue of so many tracks, and return the figures.

    They are those that docs/cli.md lists for ``bedeck demo --json``. Everything is made in ``keep``, where it stays, or
    in a temporary folder, where it does not. A million tracks take less than a minute on two cores, and the dict of
    them a gigabyte of memory, in a process that is gone afterwards.

    Raises `Error` should the dict and bedeck answer differently, ImportError without numpy or pyarrow, and what
    `bedeck.build` and `bedeck.open` raise.
    """
    with _folder(keep) as folder:
        say(heading(f"bedeck: what is known of each of {counted(tracks, 'track')}, inside the process that asks"))
        facts = {"path": str(keep) if keep else None, "tracks": tracks, **_make(tracks, folder, say)}
        playlists = list(requests(tracks, PLAYLISTS))
        facts |= _decorate(playlists, folder, say)
        facts |= _compete(tracks, playlists, folder)
        example = next(iter(bedeck.open(folder / "store")["track"]))
    _tell("The same as a plain dict of dicts, either side in a process of its own", comparison(facts), say)
    if follows := list(arithmetic(facts)):
        _tell("By arithmetic on these figures, not measured", follows, say)
    _tell("Where to go from here", _next_steps(keep, example), say)
    return facts


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="bedeck-demo-") as folder:
            yield Path(folder)


def _tell(title: str, text: Iterable[str], say: Say) -> None:
    say("")
    say(heading(title))
    for line in text:
        say(line)


def _make(tracks: int, folder: Path, say: Say) -> Facts:
    started = time.monotonic()
    with status("making up a catalogue") as progress:
        catalogue = synth(folder / "catalogue", tracks, progress=progress)
    seconds = time.monotonic() - started
    source = sum(file.stat().st_size for file in catalogue.parent.iterdir())
    say(f"  made up a catalogue, {human(source)} of Parquet files, in {seconds:.1f} s")
    with status("building a store from it"):
        build = bedeck.build(catalogue, folder / "store")
    records = {name: of.records for name, of in build.types.items()}
    counts = f"{counted(records['album'], 'album')}, {counted(records['artist'], 'artist')}"
    say(f"  built a store from it, {human(build.bytes)}, in {build.seconds:.1f} s: {counts}")
    return {
        "records": records,
        "source_bytes": source,
        "store_bytes": build.bytes,
        "synth_seconds": seconds,
        "build_seconds": build.seconds,
    }


def _decorate(playlists: Sequence[Sequence[str]], folder: Path, say: Say) -> Facts:
    catalogue = bedeck.open(folder / "store")
    catalogue.warm()
    card = catalogue["track"].select(*FIELDS)
    started = time.perf_counter()
    for ids in playlists:
        card.decorate(ids)
    seconds = time.perf_counter() - started
    sizes = sorted(map(len, playlists))
    asked = f"{len(playlists):,} playlists of {sizes[0]} to {sizes[-1]} tracks"
    say(f"  decorated {asked} in {seconds:.2f} s, {seconds / sum(sizes) * 1e6:.2f} us a track")
    ids = next(filter(lambda ids: _is_explicit(card.decorate(ids[:SHOWN])), playlists), playlists[0])
    shown = lines(ids[:SHOWN], card.decorate(ids[:SHOWN]), width())
    of = f"the first {min(SHOWN, len(ids))} of its {counted(len(ids), 'track')}"
    _tell(f"One of them, {of} (an E marks explicit lyrics)", shown, say)
    return {"playlists": len(playlists), "playlist_tracks": sum(sizes), "playlist_seconds": seconds}


def _is_explicit(tracks: Sequence[Mapping[str, Any] | None]) -> bool:
    return any(track and track["explicit"] for track in tracks)


def _compete(tracks: int, playlists: Sequence[Sequence[str]], folder: Path) -> Facts:
    # They import pyarrow; where that is missing, synth has said how to get it.
    from bedeck._demo.contest import check_same, contestants, take_turns  # noqa: PLC0415
    from bedeck._demo.sides import JSON, Dicts, Store  # noqa: PLC0415

    drawn = list(requests(tracks, 2 * LISTS, shape="uniform", size=LIST, unknown=0))
    with status("filling a dict with the same, then timing both"), contestants(Dicts, Store) as (dicts, store):
        starts = dicts.start(folder / "catalogue"), store.start(folder / "store")
        check_same(dicts, store, playlists[:CHECKED])
        times = take_turns((dicts, store), "decorate", drawn[:LISTS])
        json_times = take_turns((dicts, store), "decorate_json", drawn[LISTS:])
    of_dict, of_bedeck = (
        {**asdict(start), "decorate_us": asdict(of_dicts), "decorate_json_us": asdict(of_json)}
        for start, of_dicts, of_json in zip(starts, times, json_times, strict=True)
    )
    asked = {"checked": CHECKED, "lists": LISTS, "list_ids": LIST, "json_by": JSON}
    return {**asked, "dict": of_dict, "bedeck": of_bedeck}


def _command() -> str:
    if shutil.which("bedeck"):
        return "bedeck"
    installed = Path(sys.executable).with_name("bedeck")
    if installed.exists():
        return shlex.quote(os.path.relpath(installed))
    return f"{shlex.quote(os.path.relpath(sys.executable))} -m bedeck"


def _next_steps(keep: Path | None, id_: str) -> Iterator[str]:
    command = _command()
    if not keep:
        yield f"  {command} demo --keep demo    # leaves all this in the folder demo"
    store = shlex.quote(str((keep or Path("demo")) / "store"))
    yield f"  {command} info {store}"
    yield f"  {command} get {store} track {id_}"
    yield f"  {command} decorate {store} track {id_} --fields title,artists.name"
    yield "  README.md: how to build a store from your own data. docs/cli.md: the commands."
