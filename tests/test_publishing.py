"""The verb publish: what it prints, what it takes, and how it ends."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import bedeck
from bedeck._cli.verbs import verbs
from bedeck.store import LocalStore
from manual import documented, shape
from stores import contents

ARTISTS = [{"id": f"a{n}", "name": f"name {n}"} for n in range(40)]


def tracks(count: int = 400, **values: Any) -> list[dict[str, Any]]:
    return [
        {"id": n, "title": f"title {n}", "artist_id": f"a{n % 7}"} | (values if n < 300 else {}) for n in range(count)
    ]


class Place:
    """A catalogue.toml, its sources and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, LocalStore(folder / "store")
        self.toml = folder / "catalogue.toml"
        self.toml.write_text(
            '[type.track]\nsource = "track.parquet"\nkey = "id"\n'
            '[type.track.references]\nartist = { field = "artist_id", type = "artist" }\n'
            '[type.artist]\nsource = "artist.parquet"\nkey = "id"\n'
        )
        self.write("artist", ARTISTS)
        self.write("track", tracks())

    def write(self, name: str, rows: list[dict[str, Any]]) -> Path:
        path = self.folder / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    def run(self, *options: object, stdin: bytes | None = None) -> Result:
        command = ["publish", self.toml, self.store.path, *options]
        return CliRunner().invoke(verbs, [str(arg) for arg in command], input=stdin, catch_exceptions=False)

    def ok(self, *options: object, stdin: bytes | None = None) -> str:
        result = self.run(*options, stdin=stdin)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def facts(self, *options: object) -> Any:
        return json.loads(self.ok(*options, "--json"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_tells_what_is_new(place: Place):
    lines = place.ok().splitlines()
    assert re.fullmatch(
        rf"{place.store.path}: version 1 after nothing: [\d.]+ kB of new files, published in [\d.]+ s", lines[0]
    )
    assert re.fullmatch(r"  track +anew +400 +0 +0 +400 +[\d,]+", lines[3])
    lines = place.ok().splitlines()
    assert re.fullmatch(rf"{place.store.path}: nothing is new, version 1 stays; found in [\d.]+ s", *lines)
    place.write("track", [*tracks(399), {"id": 1000, "title": "x", "artist_id": "gone"}])
    lines = place.ok("--annotate", "ticket=MUS-7", "--annotate", "a=b=c").splitlines()
    assert "version 2 after version 1: " in lines[0]
    assert re.fullmatch(r"  artist +kept +0 +0 +0 +40 +0", lines[2])
    assert re.fullmatch(r"  track +over +1 +1 +0 +400 +[\d,]+", lines[3])
    assert lines[4] == "dangling: track.artist_id: 1 reference to 1 key without a record"
    head = place.store.head()
    assert head is not None
    assert head.details["annotations"] == {"ticket": "MUS-7", "a": "b=c"}


def test_json_is_as_documented(place: Place):
    place.ok()
    place.write("track", tracks(title="another"))
    allow = ("--allow", "changed-records=titles in their own script")
    result = place.run(*allow, "--annotate", "ticket=MUS-7", "--json")
    assert result.exit_code == 0
    facts, expected = json.loads(result.stdout), documented("publish")
    assert (facts["version"], facts["parent"], facts["types"]["track"]["changed"]) == (2, 1, 300)
    assert facts["bytes"] == sum(of["bytes"] for of in facts["types"].values())
    assert facts["types"].pop("artist")["records"] == 40
    dangling = expected["types"]["track"]["fields"]["artist_id"].pop("dangling")
    assert facts["types"]["track"]["fields"]["artist_id"].pop("dangling") == {}
    assert shape(facts) == shape(expected)
    facts = place.facts()
    assert (facts["version"], facts["unchanged"]) == (None, True)
    place.write("track", [*tracks(title="another"), {"id": 900, "artist_id": "gone"}])
    facts = place.facts()
    assert shape(facts["types"]["track"]["fields"]["artist_id"]["dangling"]) == shape(dangling)


def test_a_refusal_is_told_in_full_with_ways_out_that_work(place: Place):
    place.ok()
    before = contents(place.store.path)
    place.write("track", tracks(300, title="x"))
    result = place.run()
    assert (result.exit_code, result.stdout) == (4, "")
    lines = result.stderr.splitlines()
    lines = [line for line in lines if not line.startswith("bedeck: note: ")]
    assert lines[0] == f"bedeck: version 2 of {place.store.path} is refused, and version 1 stays. Validators found:"
    assert lines[1].startswith('record-count: type "track": 300 records, and 400 before, 100 fewer (25 %, where 10 % ')
    assert re.fullmatch(r"  as in (\d+, ){4}\d+", lines[2])
    assert lines[3] == "  to allow it for good: record-count = 0.25  # in [type.track.validators]"
    assert lines[4].startswith('changed-records: type "track", field "title": 300 of 400 records have another value')
    assert lines[-1] == 'to announce it all the same, say why: --allow record-count="..." --allow changed-records="..."'
    result = place.run("--json", "--allow", "record-count=a test")
    assert result.exit_code == 4
    refused = json.loads(result.stdout)
    assert [finding["validator"] for finding in refused["refused"]] == ["record-count", "changed-records"]
    assert refused["refused"][1].keys() == documented("publish")["allowed"][0].keys()
    assert contents(place.store.path) == before
    result = place.run("--allow", "record-count=a test", "--allow", "changed-records=another")
    assert result.exit_code == 0
    count, titles = result.stdout.splitlines()[-2:]
    assert count == (
        'allowed: record-count: type "track": 300 records, and 400 before, 100 fewer (25 %, where 10 % is allowed)'
        " (because: a test)"
    )
    assert titles.startswith('allowed: changed-records: type "track", field "title": 300 of 400 records have another')
    assert titles.endswith(" (because: another)")


def test_limits_of_the_catalogue_hold(place: Place):
    place.ok()
    place.write("track", tracks(300, title="x"))
    place.toml.write_text(
        "[validators]\nrecord-count = 0.3\n" + place.toml.read_text() + "[type.artist.validators]\nmin-records = 41\n"
    )
    place.toml.write_text(
        place.toml.read_text().replace(
            "[type.artist]", "[type.track.validators]\nchanged-records = { title = 0.8 }\n[type.artist]"
        )
    )
    result = place.run()
    assert result.exit_code == 4
    assert "min-records" in result.stderr
    assert "changed-records" not in result.stderr


def test_updates_and_deletions_by_file(place: Place):
    place.ok()
    up = place.write("up", [{"id": 5, "title": "five", "artist_id": None}])
    more = place.write("more", [{"id": 900, "title": "new", "artist_id": "a1"}])
    keys = place.write("keys", [{"id": 7, "other": 1}, {"id": 8, "other": 2}])
    (place.folder / "artists.txt").write_text("a38\na39\n")
    result = place.run(
        *("--update", f"track={up}", "--update", f"track={more}", "--delete", f"track={keys}", "--delete", "track=-"),
        *("--delete", f"artist={place.folder / 'artists.txt'}"),
        stdin=b"9\nx\n10\n",
    )
    assert result.exit_code == 0
    assert result.stderr == "bedeck: note: 'x' cannot be a key of kind int\n"
    records = bedeck.open(place.store.path)["track"]
    assert records.decorate([5, 900, 7, 8, 9, 10, 11], ["title"]) == [
        {"title": "five"},
        {"title": "new"},
        *[None] * 4,
        {"title": "title 11"},
    ]
    assert set(bedeck.open(place.store.path)["artist"]) == {f"a{n}" for n in range(38)}


def test_a_relative_file_is_found_from_where_the_command_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    place.ok()
    (tmp_path / "elsewhere").mkdir()
    pq.write_table(pa.table({"id": [5], "title": ["five"], "artist_id": ["a1"]}), tmp_path / "elsewhere" / "up.parquet")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert place.facts("--update", "track=up.parquet")["types"]["track"]["changed"] == 1


def test_a_compaction_says_how_much_it_ships_before_it_does(place: Place):
    place.ok()
    place.write("track", tracks(401))
    place.ok()
    result = place.run("--compact", "--annotate", "why=monthly")
    assert result.exit_code == 0
    notes = result.stderr.splitlines()
    assert len(notes) == 2
    assert re.fullmatch(
        r'bedeck: note: type "track" gets a new base, which consumers fetch anew: [\d,]+ bytes so far', notes[1]
    )
    assert "version 3 after version 2" in result.stdout


def test_a_dry_run_and_versions_that_are_removed(place: Place):
    assert "after nothing a version would be announced; " in place.ok("--dry-run")
    assert place.store.entries() == []
    for count in (400, 401, 402):
        place.write("track", tracks(count))
        place.ok("--keep", 2)
    assert [of.version for of in place.store.versions()] == [3, 2]


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--compact", "--dry-run"], 2, "--compact takes no --update, --delete, --allow and --dry-run."),
        (["--allow", "x=y"], 2, "--allow x: there is no such validator; known: min-records, record-count, "),
        (["--allow", "min-records"], 2, "Invalid value for '--allow': 'min-records': NAME=REASON is expected"),
        (["--update", "album=up.parquet"], 2, "upserts: there is no type 'album'"),
        (["--update", "track=nothing.parquet"], 4, "nothing.parquet: there is no such file"),
        (["--delete", "album=keys.txt"], 2, "--delete album=keys.txt: there is no type 'album'"),
        (["--delete", "track=keys.txt"], 5, "keys.txt: No such file or directory"),
        (["--delete", "track=keys.parquet"], 4, 'keys.parquet: its column "id" cannot be read: '),
    ],
)
def test_what_cannot_be_is_one_line_and_a_code(place: Place, options: list[str], code: int, why: str):
    place.ok()
    result = place.run(*options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert why in result.stderr
    assert result.stderr.count("\n") == 1


def test_there_is_nothing_to_update_before_the_first_version(place: Place):
    for options in (["--update", f"track={place.folder / 'track.parquet'}"], ["--delete", "track=-"], ["--compact"]):
        result = place.run(*options, stdin=b"1\n")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "nothing is announced" in result.stderr


def test_told_to_end_it_leaves_nothing_behind(place: Place):
    place.ok()
    before = contents(place.store.path)
    place.write("track", tracks(200_000))
    command = [sys.executable, "-m", "bedeck", "publish", str(place.toml), str(place.store.path)]
    process = subprocess.Popen([*command, "--allow", "record-count=a test"], stdout=subprocess.PIPE)  # noqa: S603 - our own
    while process.poll() is None and not list((place.store.path / "tmp").glob("cycle-*")):
        pass
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=120) == (b"", None)
    assert process.returncode == 143
    assert contents(place.store.path) == before
    assert list((place.store.path / "tmp").iterdir()) == []
