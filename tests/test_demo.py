"""The demonstration, with a few thousand tracks: what it tells and leaves, and that it compares what is equal."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import bedeck
from bedeck._cli.terminal import columns
from bedeck._cli.verbs import verbs
from bedeck._demo.contest import Contestant, check_same, contestants
from bedeck._demo.playlist import FIELDS, lines
from bedeck._demo.sides import Dicts, Store
from bedeck._demo.summary import arithmetic, comparison
from bedeck.demo import demo
from bedeck.synth import requests
from manual import documented, shape

TRACKS = 3000

Kept = tuple[Path, str, dict[str, Any]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A demonstration that was kept: its folder, what it told, and its figures."""
    folder = tmp_path_factory.mktemp("demo")
    told: list[str] = []
    facts = demo(TRACKS, keep=folder, say=told.append)
    return folder, "\n".join(told), facts


def test_figures_are_as_documented(kept: Kept):
    folder, _, facts = kept
    assert shape({**facts, "path": None}) == shape(documented("demo"))
    assert facts["path"] == str(folder)
    assert facts["records"]["track"] == TRACKS
    assert facts["store_bytes"] == sum(path.stat().st_size for path in (folder / "store" / "blobs").iterdir())
    if sys.platform == "linux":
        assert facts["dict"]["private_bytes"] > facts["bedeck"]["private_bytes"]


def test_it_tells_what_it_does_then_a_playlist_then_the_comparison_then_where_to_go(kept: Kept):
    _, told, _ = kept
    parts = [
        r"3,000 tracks",
        r"\n  made up a catalogue, [0-9.]+ kB of Parquet files, in [0-9.]+ s",
        r"\n  built a store from it, [0-9.]+ kB, in [0-9.]+ s: \d+ albums, 333 artists",
        r"\n  decorated 1,000 playlists of \d+ to \d+ tracks in [0-9.]+ s, [0-9.]+ us a track",
        r"\n    1  .+\n    2  .+\n    3  ",
        r"\n +dict +bedeck",
        r"\n  to initialise a process +[0-9.]+ s +[0-9.e-]+ s +[0-9,.]+ x",
        r"\n  memory of each process +\S+( [kM]?B| known) +\S+( [kM]?B| known)",
        r"\n  memory that all processes share +- +[0-9.]+ kB",
        r"\n  100 tracks as dicts, p50 +[0-9,]+ us +[0-9,]+ us +[0-9,.]+ x",
        r"\n  100 tracks as dicts, p99 +[0-9,]+ us +[0-9,]+ us",
        r"\n  100 tracks as JSON, p50 +[0-9,]+ us +[0-9,]+ us +[0-9,.]+ x",
        r"made by (orjson|json);",
        r"not measured.*\n +dict +bedeck",
        r"memory of 8 processes",
        r"\n  \S.* info ",
        r"README\.md",
    ]
    assert re.search(".*?".join(parts), told, re.DOTALL), told


def test_it_fits_a_terminal(kept: Kept):
    folder, told, _ = kept
    too_wide = [line for line in told.splitlines() if columns(re.sub("\x1b.*?m", "", line)) > 80]
    assert all(str(folder) in line for line in too_wide)


def test_what_it_leaves_can_be_gone_on_with(kept: Kept):
    folder, told, _ = kept
    assert (folder / "catalogue" / "catalogue.toml").exists()
    assert len(bedeck.open(folder / "store")["track"]) == TRACKS
    commands = [
        line.split("bedeck ", 1)[1] for line in told.splitlines() if re.search("bedeck (info|get|decorate)", line)
    ]
    assert len(commands) == 3
    for command in commands:
        result = CliRunner().invoke(verbs, shlex.split(command))
        assert result.exit_code == 0, result.output
        assert "null\n" not in result.output


def test_it_names_a_command_that_runs_though_no_folder_of_commands_has_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    told: list[str] = []
    demo(1, say=told.append)
    (line,) = (line for line in told if " info " in line)
    command = shlex.split(line.split(" info ")[0])
    installed = Path(sys.executable).with_name("bedeck")
    assert command == ([os.path.relpath(installed)] if installed.exists() else [*command[:1], "-m", "bedeck"])
    assert subprocess.run([*command, "--version"], check=False, capture_output=True).returncode == 0  # noqa: S603


def test_it_leaves_nothing_unless_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = CliRunner().invoke(verbs, ["demo", "--tracks", "1", "--json"], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    assert shape(json.loads(result.stdout)) == shape(documented("demo"))
    assert list(tmp_path.glob("bedeck-demo-*")) == []


def test_without_a_folder_it_says_how_to_have_one():
    result = CliRunner().invoke(verbs, ["demo", "--tracks", "200"], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "bedeck demo --keep demo" in result.stdout
    assert "bedeck info demo/store" in result.stdout


def test_both_sides_hold_the_same(kept: Kept):
    folder, _, _ = kept
    dicts, catalogue = Dicts(folder / "catalogue"), bedeck.open(folder / "store")
    for name, records in (("track", dicts.tracks), ("artist", dicts.artists), ("album", dicts.albums)):
        ids = list(records)
        assert len(ids) == len(catalogue[name])
        assert list(records.values()) == catalogue[name].decorate(ids)


def test_both_sides_answer_the_same(kept: Kept):
    folder, _, _ = kept
    dicts, store = Dicts(folder / "catalogue"), Store(folder / "store")
    for ids in requests(TRACKS, 50):
        answer = store.decorate(ids)
        assert dicts.decorate(ids) == answer
        assert json.loads(dicts.decorate_json(ids)) == json.loads(store.decorate_json(ids)) == answer
        assert [track and track["title"] for track in answer] == [
            track and dicts.tracks[id_]["title"] for id_, track in zip(ids, answer, strict=True)
        ]


def test_equal_values_of_the_dict_are_one_object(kept: Kept):
    folder, _, _ = kept
    tracks = Dicts(folder / "catalogue").tracks.values()
    for field in ("markets", "artist_ids", "album_id", "title"):
        values = [track[field] for track in tracks]
        assert len({id(value) for value in values}) == len({json.dumps(value) for value in values}), field


class Liar(Contestant):
    """Answers with what it was made with."""

    def __init__(self, dicts: object, body: bytes) -> None:
        self._says = {"decorate": dicts, "decorate_json": body}

    def answers(self, verb: str, lists: Sequence[Sequence[str]]) -> list[Any]:
        return [self._says[verb]] * len(lists)


def test_a_comparison_of_what_differs_is_refused():
    honest = Liar([{"a": 1}], b'[{"a":1}]')
    check_same(honest, Liar([{"a": 1}], b'[{"a": 1}]'), [["x", "y"]])
    for liar in (Liar([{"a": 2}], b'[{"a":1}]'), Liar([{"a": 1}], b'[{"a":2}]')):
        with pytest.raises(bedeck.Error, match=r"2 ids that starts with x"):
            check_same(honest, liar, [["x", "y"]])


class Killed:
    """A side that is ended while it starts."""

    def __init__(self, _folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_side_that_is_killed_is_told(tmp_path: Path):
    with contestants(Killed) as (killed,), pytest.raises(bedeck.Error, match="Killed was ended"):
        killed.start(tmp_path)


def test_a_playlist_is_aligned(kept: Kept):
    folder, _, _ = kept
    card = bedeck.open(folder / "store")["track"].select(*FIELDS)
    for width in (60, 80, 120):
        ids = next(requests(TRACKS, 1, size=300))
        for id_, track, line in zip(ids, card.decorate(ids), lines(ids, card.decorate(ids), width), strict=True):
            if track is None:
                assert line.endswith(f"{id_} is not in the catalogue")
                continue
            assert width - 6 < columns(line) <= width
            minutes, seconds = divmod(round(track["duration_ms"] / 1000), 60)
            assert line.endswith(f" {minutes}:{seconds:02}")
            assert (" E " in line) >= track["explicit"]


def test_memory_that_is_not_known_is_not_told(kept: Kept):
    _, _, facts = kept
    unknown = {**facts, **{side: {**facts[side], "private_bytes": None} for side in ("dict", "bedeck")}}
    assert any(re.match(r"  memory of each process +not known +not known$", line) for line in comparison(unknown))
    assert not any("memory" in line for line in arithmetic(unknown))


def test_arithmetic_is_right(kept: Kept):
    _, _, facts = kept
    even = {
        **facts,
        "tracks": 1_000_000,
        "store_bytes": 80_000_000,
        "build_seconds": 6.0,
        "dict": {**facts["dict"], "seconds": 9.0, "private_bytes": 850_000_000},
        "bedeck": {**facts["bedeck"], "seconds": 0.05, "private_bytes": 250_000},
    }
    assert [re.split("  +", line.strip()) for line in arithmetic(even)][1:] == [
        ["memory of 8 processes", "6.8 GB", "82 MB"],
        ["the same, with 100 M tracks", "680 GB", "8.2 GB"],
        ["to initialise a process, with 100 M tracks", "15 min", "5 s"],
        ["to build the store, once, with 100 M tracks", "-", "10 min"],
    ]


def test_few_tracks_say_nothing_of_many(kept: Kept):
    _, told, facts = kept
    assert "100 M" not in told
    assert "100 M" in "".join(arithmetic({**facts, "tracks": 100_000}))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after", ["made up", "built", "decorated"])
def test_ctrl_c_ends_all_of_it_at_once_and_leaves_nothing(tmp_path: Path, after: str):
    command = [sys.executable, "-m", "bedeck", "demo", "--tracks", "20000"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert any(after.encode() in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=120) == 130
        assert process.stderr.read().strip() == b""
    assert list(tmp_path.glob("bedeck-demo-*")) == []


@pytest.mark.parametrize("after", ["made up", "decorated"])
def test_sigterm_ends_it_and_leaves_nothing(tmp_path: Path, after: str):
    command = [sys.executable, "-m", "bedeck", "demo", "--tracks", "20000"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout
        assert process.stderr
        assert any(after.encode() in line for line in process.stdout)
        process.terminate()
        assert process.wait(timeout=120) == 143
        assert process.stderr.read().strip() == b""  # to its end: the sides are gone as well
    assert list(tmp_path.glob("bedeck-demo-*")) == []
