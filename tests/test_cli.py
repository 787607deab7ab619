"""The command line: what it prints, how it ends, and that docs/cli.md tells all of it."""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import bedeck
from bedeck import Key, Reference, Schema, Type
from bedeck._cli.exits import ending_in_order
from bedeck._cli.terminal import fit, human, safe, table
from bedeck._cli.verbs import verbs
from bedeck._limit import memory_limit
from manual import MANUAL, SECTIONS, documented, shape
from sparse import Sparse

SCHEMA = Schema(
    {
        "track": Type("id", references={"artists": Reference("artist_ids", "artist")}),
        "artist": Type("id"),
        "thing": Type(Key("n", "int"), fields={"t": "timestamp[us,UTC]"}),
        "digest": Type(Key("raw", "bytes")),
    },
    "music",
)
ANN, BO, GONE = "0" * 21 + "1", "0" * 21 + "2", "0" * 21 + "3"
ONE, TWO, NONE = "1" * 22, "2" * 22, "3" * 22
SOURCES: dict[str, Any] = {
    "artist": [{"id": ANN, "name": "Ann"}, {"id": BO, "name": "Bo"}],
    "track": [
        {"id": ONE, "title": "Zoë, the first", "artist_ids": [ANN, BO]},
        {"id": TWO, "title": None, "artist_ids": [GONE]},
    ],
    "thing": [
        {
            "n": -7,
            "text": "two\nlines \x1b[31m",
            "number": 1.5,
            "flag": True,
            "day": date(2024, 2, 29),
            "t": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
            "raw": b"\x00\xff",
            "words": ["a", "b"],
            "a,b": 1,
        },
        {"n": 8},
    ],
    "digest": [{"raw": b"\xff\x00", "name": "binary"}],
}

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "store"
    bedeck.build(SCHEMA, path, SOURCES)
    bedeck.build(SCHEMA, path, {**SOURCES, "thing": [{"n": 1, "text": "second version", "t": None}]})
    bedeck.build(SCHEMA, path, SOURCES)
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in Parquet files, from `bedeck synth`."""
    folder = tmp_path_factory.mktemp("music")
    result = CliRunner().invoke(verbs, ["synth", str(folder), "--tracks", "500"])
    assert result.exit_code == 0, result.output
    return folder


def run(*args: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(verbs, [str(arg) for arg in args], input=stdin, catch_exceptions=False)


def ok(*args: object, stdin: bytes | None = None) -> str:
    result = run(*args, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(code: int, *args: object, stdin: bytes | None = None) -> str:
    """The one line that is told on standard error, where nothing is on standard output."""
    result = run(*args, stdin=stdin)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line, end = result.stderr[:-1], result.stderr[-1:]
    assert line.startswith("bedeck: ")
    assert "\n" not in line
    assert end == "\n"
    return line.removeprefix("bedeck: ")


def process(*args: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bedeck", *map(str, args)]
    options = {"capture_output": True, "timeout": 120, **options}
    return subprocess.run(command, check=False, **options)  # noqa: S603 - our own


def python(code: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=120)  # noqa: S603 - our own


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    """bedeck as run by a shell, for the sake of its redirections."""
    line = f"{shlex.quote(sys.executable)} -m bedeck {command}"
    return subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True, timeout=120)  # noqa: S603 - our own


# The manual


@pytest.mark.parametrize("verb", list(verbs.commands))
def test_the_manual_tells_every_argument_and_option(verb: str):
    section = SECTIONS[verb]
    usage = re.search(rf"^`bedeck {verb} ?(.*)`$", section, re.MULTILINE)
    assert usage
    assert f"(#bedeck-{verb})" in MANUAL
    with click.Context(verbs.commands[verb], info_name=verb) as context:
        for parameter in verbs.commands[verb].params:
            if isinstance(parameter, click.Argument):
                assert parameter.make_metavar(context).strip(".") in usage[1]
                continue
            for option in parameter.opts:
                assert f"[{option}" in usage[1] or (parameter.required and option in usage[1])
                assert re.search(rf"^\* `{option}\b.*`: ", section, re.MULTILINE), option


@pytest.mark.parametrize("verb", list(SECTIONS))
def test_the_manual_tells_nothing_that_is_not_there(verb: str):
    options = {option for parameter in verbs.commands[verb].params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z0-9-]*", SECTIONS[verb])) <= options


def test_whoever_ignores_that_the_terminal_is_gone_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ending_in_order():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_manual_tells_every_exit_code():
    from bedeck._cli.exits import Exit  # noqa: PLC0415

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", MANUAL, re.MULTILINE)} == {0, *Exit}


def test_every_verb_prints_json():
    last = {name: verb.params[-1].opts for name, verb in verbs.commands.items()}
    assert [name for name, options in last.items() if "--json" not in options] == ["serve"]  # whose answers are HTTP's


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_lists_the_verbs_in_the_order_of_the_manual(args: list[str]):
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", ok(*args).split("Commands:")[1], re.MULTILINE)
    assert listed == list(SECTIONS) == re.findall(r"\]\(#bedeck-([a-z]+)\)", MANUAL)


def test_help_is_told_without_cuts():
    assert "..." not in ok().split("Commands:")[1]


def test_version_is_that_of_the_package():
    assert re.fullmatch(r"bedeck \d+\.\d+\.\d+\S*\n", ok("--version"))


# build and synth


def test_synth_makes_a_catalogue_that_build_takes(music: Path, tmp_path: Path):
    text = ok("build", music / "catalogue.toml", tmp_path / "store", "--threads", 1)
    assert re.match(rf"{tmp_path}/store: version 1, [0-9.]+ kB, built in [0-9.]+ s\n", text)
    assert re.search(r"^  track +base62 +500 +0 +500 +[0-9,]+ +[0-9.]+$", text, re.MULTILINE)
    assert bedeck.open(tmp_path / "store")["track"].__len__() == 500


def test_synth_json_is_as_documented(tmp_path: Path):
    facts = json.loads(ok("synth", tmp_path / "x", "--tracks", 20, "--seed", 3, "--json"))
    assert shape(facts) == shape(documented("synth"))
    assert facts["catalogue"] == str(tmp_path / "x" / "catalogue.toml")
    assert facts["bytes"] == sum(path.stat().st_size for path in (tmp_path / "x").iterdir())
    assert (facts["tracks"], facts["seed"]) == (20, 3)


def test_another_seed_is_another_catalogue(tmp_path: Path):
    made = []
    for seed in (0, 1):
        ok("synth", tmp_path / "x", "--tracks", 20, "--seed", seed)
        made.append((tmp_path / "x" / "tracks-00000.parquet").read_bytes())
    assert made[0] != made[1]


def write_catalogue(folder: Path, **rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    for name, values in rows.items():
        pq.write_table(pa.Table.from_pylist(values), folder / f"{name}.parquet")
    path = folder / "catalogue.toml"
    path.write_text(
        'namespace = "music"\n'
        '[type.track]\nsource = "track.parquet"\nkey = "id"\n'
        '[type.track.references]\nartists = { field = "artist_ids", type = "artist" }\n'
        '[type.artist]\nsource = "artist.parquet"\nkey = "id"\n'
    )
    return path


def test_build_json_is_as_documented(tmp_path: Path):
    catalogue = write_catalogue(tmp_path, track=SOURCES["track"], artist=SOURCES["artist"])
    facts = json.loads(ok("build", catalogue, tmp_path / "store", "--json"))
    assert shape(facts) == shape(documented("build"))
    assert facts["version"] == 1
    assert facts["bytes"] == sum(of["bytes"] for of in facts["types"].values())
    assert facts["types"]["track"]["dangling"] == {"artist_ids": {"references": 1, "keys": 1}}
    assert "dangling: track.artist_ids: 1 reference to 1 key without a record" in ok(
        "build", catalogue, tmp_path / "store"
    )
    assert bedeck.open(tmp_path / "store").version == 2


def test_build_refuses_what_a_source_should_not_hold(tmp_path: Path):
    catalogue = write_catalogue(tmp_path, track=SOURCES["track"] * 2, artist=SOURCES["artist"])
    result = run("build", catalogue, tmp_path / "store")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr.startswith("bedeck: ")
    assert "duplicate" in result.stderr
    assert all(line.startswith("  ") for line in result.stderr.splitlines()[1:])
    assert ONE in result.stderr
    assert refused(1, "info", tmp_path / "store")


def test_build_refuses_a_missing_source(tmp_path: Path):
    assert "artist.parquet" in refused(4, "build", write_catalogue(tmp_path, track=SOURCES["track"]), tmp_path / "s")


def test_build_refuses_a_wrong_schema(tmp_path: Path):
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text('[type.track]\nkey = "id"\nsauce = "x"\n')
    assert "sauce" in refused(2, "build", catalogue, tmp_path / "store")
    assert "nowhere.toml" in refused(2, "build", tmp_path / "nowhere.toml", tmp_path / "store")
    catalogue.write_text('[type.track]\nkey = "id"\n')
    told = f'{catalogue}: [type.track]: no source: write source = "..." into it'
    assert refused(2, "build", catalogue, tmp_path / "store") == told
    assert not (tmp_path / "store").exists()


def test_build_notes_types_that_are_empty_or_gone(store: Path, tmp_path: Path):
    shutil.copytree(store, tmp_path / "store")
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "none.parquet")
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text('[type.track]\nsource = "none.parquet"\nkey = "id"\n')
    assert ok("build", catalogue, tmp_path / "store").splitlines()[-4:] == [
        'note: type "track" is empty: its source gave no rows',
        'note: type "artist" of the version before is not in version 4',
        'note: type "digest" of the version before is not in version 4',
        'note: type "thing" of the version before is not in version 4',
    ]
    shutil.copytree(store, tmp_path / "again")
    facts = json.loads(ok("build", catalogue, tmp_path / "again", "--json"))
    assert facts["gone"] == ["artist", "digest", "thing"]
    assert len(facts["notes"]) == 4


def test_build_says_what_to_name_instead(store: Path, tmp_path: Path):
    assert refused(2, "build", store, tmp_path / "x") == f"{store} is a folder: name its catalogue.toml"
    catalogue = write_catalogue(tmp_path, track=SOURCES["track"], artist=SOURCES["artist"])
    assert refused(5, "build", catalogue, catalogue) == f"{catalogue} is a file: name a new or an empty folder"


def test_synth_does_not_overwrite_another_catalogue(tmp_path: Path):
    catalogue = write_catalogue(tmp_path)
    before = catalogue.read_bytes()
    assert str(catalogue) in refused(5, "synth", tmp_path, "--tracks", 1)
    assert catalogue.read_bytes() == before


def test_synth_refuses_a_folder_it_cannot_make(tmp_path: Path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in refused(5, "synth", tmp_path / "file", "--tracks", 1)


# info and verify


def test_info_for_people(store: Path):
    text = ok("info", store)
    assert text.startswith(f"{store}: version 3 of music, ")
    assert re.search(r"^track: 2 records in [0-9.]+ kB, [0-9.,]+ bytes a record$", text, re.MULTILINE)
    assert re.search(
        r"^  key id \(base62\); index [0-9.]+ bits a key, [0-9.]+ % holes \(fixed costs of a small store\)$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^  artist_ids +list<reference> +artists -> artist +[0-9,]+ +[0-9.]+ +0$", text, re.MULTILINE)
    assert re.search(r"^  title +string +[0-9,]+ +[0-9.]+ +1$", text, re.MULTILINE)
    assert text.count("  sections: pilots ") == 4
    assert "\x1b" not in text


def test_info_json_is_as_documented(tmp_path: Path):
    sources = {name: SOURCES[name] for name in ("artist", "track")}
    bedeck.build(Schema({name: SCHEMA.types[name] for name in sources}), tmp_path / "store", sources)
    facts, shown = json.loads(ok("info", tmp_path / "store", "--json")), documented("info")
    for type_ in facts["types"].values():
        type_["fields"] = type_["fields"][-1:]
    assert shape(facts) == shape(shown)
    assert facts["bytes"] == sum(of["bytes"] for of in facts["types"].values())


def test_info_tells_what_is_in_memory_and_by_whom(store: Path):
    catalogue = bedeck.open(store)
    catalogue.warm()
    size = catalogue.info()["bytes"]
    facts = json.loads(process("info", store, "--warm", "--json").stdout)
    assert facts["memory"]["resident"] == size == sum(of["resident"] for of in facts["types"].values())
    assert facts["memory"]["limit"] == catalogue.memory()["limit"]
    (own,) = [of for of in facts["memory"]["processes"] if of["this"]]
    (service,) = [of for of in facts["memory"]["processes"] if of["pid"] == os.getpid()]
    assert own["pid"] != service["pid"]
    for of in (own, service):
        assert size <= of["mapped"] == of["shared"] + of["private"]
        assert of["shared"] > 0
    assert own["pss"] + service["pss"] <= own["mapped"]
    text = process("info", store, "--warm").stdout.decode()
    kilobytes = human(size)
    assert re.search(
        rf"^memory: {kilobytes} of {kilobytes} in the page cache; a process here may use ", text, re.MULTILINE
    )
    assert re.search(rf"^ +{os.getpid()}  \S.*  [0-9.]+ kB  ", text, re.MULTILINE)
    assert re.search(r"^ +\d+  .* \(this\)  +[0-9.]+ kB  ", text, re.MULTILINE)


def test_a_version_that_does_not_fit_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    limit = memory_limit()
    assert limit
    sparse = Sparse(1, heap=limit.bytes)
    sparse.put(1, "one", sparse.slot(1))
    sparse.write(tmp_path / "store")
    done = process("get", tmp_path / "store", "n", "1", "--json")
    assert json.loads(done.stdout) == {"i": 1, "next_id": 1, "title": "one"}
    assert re.fullmatch(rb"bedeck: warning: [^\n]* does not fit[^\n]*\n", done.stderr)


def test_info_of_a_type_without_records(tmp_path: Path):
    bedeck.build(Schema({"empty": Type(Key("k", "string"), fields={"n": "int8"})}), tmp_path / "s", {"empty": []})
    assert "empty: 0 records in " in ok("info", tmp_path / "s")
    type_ = json.loads(ok("info", tmp_path / "s", "--json"))["types"]["empty"]
    assert (type_["bytes_per_record"], type_["index_bits_per_key"]) == (None, None)


def test_verify(store: Path):
    size = sum(path.stat().st_size for path in (store / "blobs").glob("track-*"))
    assert re.fullmatch(
        rf"{store}: version 3 is whole: [0-9,]+ bytes match .*, read in [0-9.]+ s\n", ok("verify", store)
    )
    facts = json.loads(ok("verify", store, "--json"))
    assert facts["types"]["track"] == size
    assert facts["bytes"] == sum(facts["types"].values())
    assert {**shape(facts), "types": shape({"artist": 1, "track": 1})} == shape(documented("verify"))


def test_paths_are_told_as_they_were_given(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(store.parent)
    for verb in ("info", "verify"):
        assert json.loads(ok(verb, store.name, "--json"))["path"] == store.name
        assert ok(verb, store.name).startswith(f"{store.name}: version 3 ")


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_a_version_can_be_chosen(store: Path, verb: str):
    assert json.loads(ok(verb, store, "--version", 2, "--json"))["version"] == 2
    assert "9" in refused(1, verb, store, "--version", 9)


@pytest.mark.parametrize("verb", [["info"], ["verify"], ["get", "track", ONE], ["decorate", "track", ONE]])
def test_damaged_data_is_not_served(store: Path, tmp_path: Path, verb: list[str]):
    shutil.copytree(store, tmp_path / "store")
    blob = next((tmp_path / "store" / "blobs").glob("track-*"))
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 4
    blob.write_bytes(data)
    assert blob.name in refused(3, verb[0], tmp_path / "store", *verb[1:])


def test_a_foreign_manifest_is_a_format_error(store: Path, tmp_path: Path):
    shutil.copytree(store, tmp_path / "store")
    entry = tmp_path / "store" / "log" / "0000000003.json"
    line = json.dumps({**json.loads(entry.read_bytes().split(b"\n")[0]), "kind": "repeal"}).encode()
    from bedeck._core import blake3  # noqa: PLC0415

    entry.write_bytes(line + f"\nblake3:{blake3(line)}\n".encode())
    assert "upgrade" in refused(3, "info", tmp_path / "store")


def test_hints_are_at_options(store: Path, tmp_path: Path):
    shutil.copytree(store, tmp_path / "store")
    next((tmp_path / "store" / "blobs").glob("track-*")).unlink()
    line = refused(3, "info", tmp_path / "store")
    assert "--version" in line
    assert "version=" not in line


# get


def test_get_for_people(store: Path):
    lines = [line.split(maxsplit=1) for line in ok("get", store, "track", ONE).splitlines()]
    assert lines == [["id", ONE], ["title", "Zoë, the first"], ["artist_ids", f"{ANN}, {BO}"]]


def test_get_shows_values_of_every_type_and_no_control_characters(store: Path):
    text = ok("get", store, "thing", "--", "-7")
    assert dict(line.split(maxsplit=1) for line in text.splitlines()) == {
        "n": "-7",
        "text": r"two\nlines \x1b[31m",
        "number": "1.5",
        "flag": "true",
        "day": "2024-02-29",
        "t": "2024-02-29 12:30:00+00:00",
        "raw": "AP8=",
        "words": "a, b",
        "a,b": "1",
    }
    assert re.search(r"^text +null$", ok("get", store, "thing", "8"), re.MULTILINE)


def test_get_json_is_as_documented(store: Path):
    text = ok("get", store, "track", ONE, "--json")
    assert shape(json.loads(text)) == shape(documented("get"))
    assert json.loads(text) == SOURCES["track"][0]
    assert text.count("\n") == 1


def test_get_takes_another_version(store: Path):
    assert "second version" in ok("get", store, "thing", "1", "--version", 2)
    assert refused(1, "get", store, "thing", "1")


def test_get_takes_bytes_in_base64(store: Path):
    assert "binary" in ok("get", store, "digest", "/wA=")
    assert '"name":"binary"' in ok("get", store, "digest", "/wA=", "--json")


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        ("track", NONE),
        ("track", "short"),
        ("track", ""),
        ("thing", "12"),
        ("thing", "seven"),
        ("thing", "1_0"),
        ("thing", "9" * 30),
        ("thing", "9" * 5000),
        ("digest", "AAAA"),
        ("digest", "not base64"),
    ],
)
def test_get_of_what_is_not_there_ends_with_1(store: Path, type_: str, key: str):
    assert type_ in refused(1, "get", store, type_, key)
    assert run("decorate", store, type_, key).stdout == "[null]\n"


UUIDS = ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B8109DAD11D180B400C04FD430C8"]


@pytest.mark.parametrize("args", [[], ["--format", "ndjson"], ["--missing", "drop"]])
@pytest.mark.parametrize(
    ("kind", "ids", "note"),
    [
        ("int", ["1,2"], "note: '1,2' cannot be a key of kind int; spaces separate ids, not commas"),
        ("int", ["9", "x", "y"], "note: 2 ids cannot be keys of kind int, the first 'x'"),
        ("int", ["9", str(2**70)], None),
        ("uuid", [*UUIDS, "6ba7b810"], "note: '6ba7b810' cannot be a key of kind uuid"),
        ("uuid", UUIDS, None),
        ("base62", ["x" * 21, NONE], f"note: '{'x' * 21}' cannot be a key of kind base62"),
        ("bytes", ["/wA=", "?"], "note: '?' cannot be a key of kind bytes"),
        ("string", ["1,2", ""], None),
    ],
)
def test_what_cannot_be_a_key_is_noted(tmp_path: Path, kind: Any, ids: list[str], note: str | None, args: list[str]):
    bedeck.build(Schema({"a": Type(Key("id", kind))}), tmp_path / "s", {"a": []})
    done = run("decorate", tmp_path / "s", "a", *ids, *args)
    answers = 0 if "drop" in args else len(ids)
    assert (done.exit_code, done.stdout.count("null")) == (0, answers)
    assert done.stderr == (f"bedeck: {note}\n" if note else "")


def test_get_of_an_unknown_type_is_a_wrong_selection(store: Path):
    assert "trak" in refused(2, "get", store, "trak", ONE)


def test_no_store_is_not_found(tmp_path: Path):
    assert str(tmp_path / "no") in refused(1, "get", tmp_path / "no", "track", ONE)


# decorate


def test_decorate_json_is_as_documented(store: Path):
    text = ok("decorate", store, "track", ONE, NONE, "--fields", "title,artists.name")
    assert shape(json.loads(text)) == shape(documented("decorate"))
    assert json.loads(text) == [{"title": "Zoë, the first", "artists": [{"name": "Ann"}, {"name": "Bo"}]}, None]
    assert ok("decorate", store, "track", ONE, NONE, "--fields", "title,artists.name", "--json") == text
    assert text == '[{"title":"Zoë, the first","artists":[{"name":"Ann"},{"name":"Bo"}]},null]\n'


def test_decorate_tells_all_own_fields_by_default(store: Path):
    (track,) = json.loads(ok("decorate", store, "track", TWO))
    assert track == {"title": None, "artist_ids": [GONE]}


def test_decorate_takes_fields_in_any_number_of_options(store: Path):
    together = ok("decorate", store, "thing", "8", "--fields", "n, flag,text")
    assert together == ok("decorate", store, "thing", "8", "--fields", "n", "--fields", "flag,text")
    assert json.loads(ok("decorate", store, "thing", "--fields", '"a,b",n', "--", "-7")) == [{"a,b": 1, "n": -7}]


def test_decorate_reads_ids_from_standard_input(store: Path):
    stdin = f"{ONE}\n\n{NONE}\r\n{TWO}".encode() + b"\n\xff\xfe\n"
    done = run("decorate", store, "track", BO, "-", ONE, "--fields", "id", stdin=stdin)
    assert done.stderr == "bedeck: note: 2 ids cannot be keys of kind base62, the first ''\n"
    text = done.stdout
    assert [track and track["id"] for track in json.loads(text)] == [None, ONE, None, None, TWO, None, ONE]


def test_decorate_ndjson_is_a_line_for_each_id(store: Path):
    args = ("decorate", store, "thing", "-", "--fields", "n,text", "--format", "ndjson")
    stdin = b"8\nnine\n-7\n8\n"
    lines = run(*args, stdin=stdin).stdout.splitlines()
    assert lines == ['{"n":8,"text":null}', "null", r'{"n":-7,"text":"two\nlines \u001b[31m"}', '{"n":8,"text":null}']
    there = [line for line in lines if line != "null"]
    assert run(*args, "--missing", "drop", stdin=stdin).stdout.splitlines() == there
    assert ok(*args, stdin=b"") == ""


def test_decorate_drops_or_refuses_missing_ids(store: Path):
    args = ("decorate", store, "track", ONE, NONE, "--fields", "id", "--missing")
    assert json.loads(ok(*args, "drop")) == [{"id": ONE}]
    assert NONE in refused(1, *args, "error")
    assert "seven" in refused(1, "decorate", store, "thing", "seven", "--missing", "error")


@pytest.mark.parametrize("format_", ["json", "ndjson"])
@pytest.mark.parametrize("gone", ["12", "twelve"])
def test_a_refused_id_is_told_by_its_place(store: Path, format_: str, gone: str):
    result = run("decorate", store, "thing", "8", "8", gone, "--missing", "error", "--format", format_)
    shown = repr(12) if gone == "12" else repr(gone)
    assert result.exit_code == 1
    assert result.stderr == f'bedeck: ids[2]: {shown} is not in type "thing"; --missing null or drop lets it pass\n'


def test_a_byte_order_mark_is_no_part_of_the_first_id(store: Path):
    stdin = "\ufeff".encode() + f"{ONE}\n\ufeff{TWO}\n".encode()
    answer = json.loads(run("decorate", store, "track", "-", "--fields", "id", stdin=stdin).stdout)
    assert answer == [{"id": ONE}, None]


def test_decorate_of_nothing(store: Path):
    assert ok("decorate", store, "track", "-", stdin=b"") == "[]\n"


def test_decorate_many(store: Path):
    answer = json.loads(ok("decorate", store, "thing", "-", "--fields", "n", stdin=b"8\n1\n" * 50_000))
    assert answer == [{"n": 8}, None] * 50_000


# How it ends


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nonsense"], "nonsense"),
        (["info"], "STORE"),
        (["info", "s", "--colour"], "--colour"),
        (["info", "s", "--version", "0"], "--version"),
        (["build", "c.toml", "s", "--threads", "none"], "--threads"),
        (["synth", "d"], "--tracks"),
        (["synth", "d", "--tracks", "0"], "--tracks"),
        (["decorate", "s", "track"], "IDS"),
        (["decorate", "s", "track", "x", "--missing", "ignore"], "--missing"),
        (["decorate", "s", "track", "x", "--format", "ndjson", "--json"], "ndjson"),
        (["get", "s", "track"], "KEY"),
        (["decorate", "s", "track", "x", "--fields", ""], "--fields"),
        (["decorate", "s", "track", "x", "--fields", "title,"], "--fields"),
        (["decorate", "s", "track", "x", "--fields", "a\rb"], "--fields"),
    ],
)
def test_wrong_usage_ends_with_2(args: list[str], told: str):
    line = refused(2, *args)
    assert told in line
    assert line.endswith("--help")


def test_an_unknown_field_is_a_wrong_selection(store: Path):
    assert "titel" in refused(2, "decorate", store, "track", ONE, "--fields", "titel")
    assert "artists" in refused(2, "decorate", store, "track", ONE, "--fields", "artists")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (bedeck.MissingKeyError("told"), 1),
        (bedeck.NotFoundError("told"), 1),
        (bedeck.SchemaError("told"), 2),
        (bedeck.SelectionError("told"), 2),
        (bedeck.DamagedError("told"), 3),
        (bedeck.FormatError("told"), 3),
        (bedeck.SourceError("told"), 4),
        (bedeck.DuplicateKeyError("told"), 4),
        (bedeck.DanglingReferenceError("told"), 4),
        (bedeck.BusyError("told"), 5),
        (bedeck.StoreError("told"), 5),
        (bedeck.DeadlineError("told"), 5),
        (OSError("told"), 5),
        (OSError(28, "told", "file"), 5),
        (ImportError("told"), 5),
        (MemoryError(), 5),
        (ValueError("told"), 5),
        (RecursionError("told"), 5),
    ],
)
def test_every_error_is_one_line_and_a_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int):
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(bedeck, "open", fail)
    assert ("memory" if isinstance(error, MemoryError) else "told") in refused(code, "info", "store")


def test_python_m_bedeck(store: Path):
    done = process("get", store, "track", ONE, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == SOURCES["track"][0]
    done = process("decorate", store, "track", "-", "--fields", "id", input=f"{TWO}\n{NONE}\n".encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, f'[{{"id":"{TWO}"}},null]\n'.encode(), b"")


def test_a_process_ends_with_the_code_and_without_a_traceback(store: Path, tmp_path: Path):
    for code, args in [
        (1, ("get", store, "track", NONE)),
        (1, ("info", tmp_path)),
        (2, ("get", store, "nothing", NONE)),
        (2, ("nothing",)),
        (5, ("synth", "/dev/null/x", "--tracks", 1)),
    ]:
        done = process(*args)
        assert (done.returncode, done.stdout) == (code, b""), args
        assert re.fullmatch(rb"bedeck: [^\n]+\n", done.stderr), done.stderr


@pytest.mark.parametrize("format_", ["json", "ndjson"])
@pytest.mark.parametrize("times", [1, 100_000])
def test_a_broken_pipe_is_no_trouble(store: Path, format_: str, times: int):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        args = ("decorate", store, "thing", "-", "--format", format_)
        done = process(*args, input=b"8\n" * times, capture_output=False, stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("verb", [("info",), ("decorate", "thing", "8")])
def test_a_full_disk_is_told(store: Path, verb: tuple[str, ...]):
    with Path("/dev/full").open("wb") as full:
        done = process(verb[0], store, *verb[1:], capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 5
    assert re.fullmatch(rb"bedeck: standard output: No space left[^\n]*\n", done.stderr), done.stderr


def test_standard_output_that_is_closed_is_no_trouble(store: Path):
    done = shell(f"info {store} >&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert shell(f"decorate {store} thing 8 >&- 2>&-").returncode == 0
    assert shell(f"info {store}/nowhere 2>&-").returncode == 1


@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_standard_input_that_is_closed_is_told(store: Path, format_: str):
    done = shell(f"decorate {store} thing - --format {format_} <&-")
    assert (done.returncode, done.stdout) == (5, b"")
    assert done.stderr == b"bedeck: standard input is closed, and - stands for its lines\n"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_with_130():
    done = python(
        "import bedeck, os, signal\n"
        "from bedeck.cli import main\n"
        "bedeck.open = lambda *args, **options: os.kill(os.getpid(), signal.SIGINT)\n"
        "main(['info', 'store'])\n"
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (128 + signal.SIGINT, b"", b"")


def test_without_click_it_says_what_to_install():
    done = python("import sys; sys.modules['click'] = None; from bedeck.cli import main; main([])")
    assert (done.returncode, done.stdout) == (5, b"")
    assert done.stderr == b"bedeck: the command line needs click: pip install click\n"


def test_reading_needs_neither_numpy_nor_pyarrow(store: Path):
    done = python(
        "import sys\n"
        "sys.modules |= {'numpy': None, 'pyarrow': None}\n"
        "from bedeck.cli import main\n"
        f"main(['decorate', {str(store)!r}, 'track', {ONE!r}, '--fields', 'title'])\n"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == [{"title": "Zoë, the first"}]


@pytest.mark.parametrize("args", [["build", "catalogue.toml", "store"], ["synth", "x", "--tracks", "1"], ["demo"]])
def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, args: list[str]):
    write_catalogue(tmp_path, track=SOURCES["track"], artist=SOURCES["artist"])
    done = python(
        "import os, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "sys.modules['pyarrow'] = None\n"
        "from bedeck.cli import main\n"
        f"main({args!r})\n"
    )
    assert done.returncode == 5
    assert re.fullmatch(rb"bedeck: [^\n]*pip install pyarrow\n", done.stderr), done.stderr


def test_importing_the_command_line_imports_no_click():
    done = python("import bedeck.cli, sys; sys.exit('click' in sys.modules)")
    assert done.returncode == 0


# On a terminal


def on_terminal(args: Sequence[object], *, out: bool, **variables: str) -> tuple[bytes, bytes]:
    """What a terminal shows on standard error, or on both, and what is on standard output otherwise."""
    leader, follower = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
        stdout = follower if out else subprocess.PIPE
        done = process(*args, capture_output=False, stdout=stdout, stderr=follower, env=environment)
        os.close(follower)
        assert done.returncode == 0
        return b"".join(read_all(leader)), done.stdout or b""
    finally:
        os.close(leader)


def read_all(terminal: int) -> Iterator[bytes]:
    try:
        while data := os.read(terminal, 1 << 16):
            yield data
    except OSError:  # how Linux says that nobody writes any more
        return


def test_progress_is_shown_on_a_terminal_and_taken_away(tmp_path: Path):
    shown, _ = on_terminal(["synth", tmp_path / "x", "--tracks", 10], out=False)
    assert f"\rwriting {tmp_path}/x"[:40].encode() in shown
    assert shown.endswith(b"\r" + b" " * 79 + b"\r")
    shown, stdout = on_terminal(["build", tmp_path / "x" / "catalogue.toml", tmp_path / "store"], out=False)
    assert b"\rbuilding " in shown
    assert b"version 1" in stdout
    shown, stdout = on_terminal(["info", tmp_path / "store", "--warm"], out=False)
    assert b"\rwarming " in shown
    assert b"memory: " in stdout
    shown, _ = on_terminal(["verify", tmp_path / "store"], out=False, TERM="dumb")
    assert shown == b""


def test_headings_are_bold_on_a_terminal_unless_no_color_is_set(store: Path):
    bold, _ = on_terminal(["info", store], out=True)
    assert b"\x1b[1m" in bold
    plain, _ = on_terminal(["info", store], out=True, NO_COLOR="1")
    assert b"track: 2 records" in plain
    assert b"\x1b" not in plain


def test_long_values_are_wrapped_on_a_terminal(tmp_path: Path):
    words = [f"word{number}" for number in range(50)]
    bedeck.build(Schema({"t": Type("k")}), tmp_path / "s", {"t": [{"k": "a", "words": words}]})
    shown, _ = on_terminal(["get", tmp_path / "s", "t", "a"], out=True, NO_COLOR="1")
    lines = shown.replace(b"\r", b"\n").decode().split("\n")
    assert max(map(len, lines)) <= 80
    assert re.findall(r"word\d+", shown.decode()) == words
    assert ok("get", tmp_path / "s", "t", "a").count("\n") == 2


def test_text_is_fitted_by_the_columns_it_takes():
    assert fit("abc", 5) == "abc  "
    assert fit("abcdef", 4) == "abc…"
    assert fit("日本語", 6) == "日本語"
    assert fit("日本語", 5) == "日本…"
    assert fit("日本語", 4) == "日… "
    assert fit("e\u0301te\u0301", 3) == "e\u0301te\u0301"


def test_table_aligns_wide_text_and_numbers():
    assert table([("日", "1"), ("abc", "10")], numbers=[1]) == ["  日    1", "  abc  10"]


def test_bytes_are_told_to_three_digits():
    assert [human(size) for size in (0, 999, 1000, 12_345, 999_600, 78_207_244, 7.8e9, 8.5e13)] == [
        "0 B",
        "999 B",
        "1 kB",
        "12.3 kB",
        "1 MB",
        "78.2 MB",
        "7.8 GB",
        "85 TB",
    ]


def test_control_characters_are_made_visible():
    assert safe("a\tb\x9b\u2028\ud800é 日") == r"a\tb\x9b\u2028\ud800é 日"
