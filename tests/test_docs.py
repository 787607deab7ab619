"""README, docs and examples: what they show is run, what they state is so, and nothing public is left out of them.

Of each document, in order and in one folder of its own: `python` is executed, `pycon` is a doctest, `sh` has its bedeck
commands run and its make targets looked up, `toml` is read as a catalogue and lies there as catalogue.toml. A block
that is neither this nor data fails, unless `<!-- not run: why -->` stands in front of it. docs/cli.md has its tests in
test_cli.py.
"""

import doctest
import json
import math
import random
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import bedeck
from bedeck import Key, Reference, Schema, Type
from bedeck.schema import KEY_KINDS, PLAIN, TYPE_MEMBERS, KeyKind
from small import make

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
README = ROOT / "README.md"
VALUES = ROOT / "docs" / "values.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
RUN_HERE = [path for path in DOCUMENTS if path.name != "cli.md"]

BLOCK = re.compile(
    r"^(?P<mark><!-- not run: [^\n]+ -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
DATA = {"", "json"}
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What Python makes of `arguments`."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - our own


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line of the document before its first."""

    path: Path
    line: int
    language: str
    code: str
    exempt: bool

    def run(self, names: dict[str, Any], folder: Path) -> None:
        match self.language:
            case "python":
                exec(compile("\n" * self.line + self.code, self.path, "exec"), names)  # noqa: S102
            case "pycon":
                self._doctest(names)
            case "sh":
                for line in self.code.splitlines():
                    self._command(shlex.split(line, comments=True), folder)
            case "toml":
                Schema.parse(tomllib.loads(self.code))
                (folder / "catalogue.toml").write_text(self.code)
            case language:
                assert language in DATA, f"{self.path}:{self.line}: {language!r} is neither run nor marked"
                assert not re.search(r"^(>>> |\$ |bedeck |import |from )", self.code, re.MULTILINE), self

    def _doctest(self, names: dict[str, Any]) -> None:
        test = doctest.DocTestParser().get_doctest(self.code, {}, self.path.name, str(self.path), self.line)
        test.globs = names
        told: list[str] = []
        doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
        assert not told, "".join(told)

    def _command(self, words: list[str], folder: Path) -> None:
        match words:
            case ["bedeck", *arguments]:
                done = run("-m", "bedeck", *arguments, cwd=folder)
                assert done.returncode == 0, f"{self.path}:{self.line}: {shlex.join(words)}\n{done.stderr}"
                assert done.stdout
            case ["make", target]:
                assert target in TARGETS
            case ["python3", "-m", "venv", "env", "&&", "env/bin/pip", "install", requirement]:
                assert set(re.findall(r"\[(\w+)\]", requirement)) <= EXTRAS
            case _:
                assert not words, f"{self.path}:{self.line}: {shlex.join(words)!r} is neither run nor marked"


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text("utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        yield Block(path, line, found["language"], found["code"], found["mark"] is not None)


@pytest.mark.parametrize("path", RUN_HERE, ids=name_of)
def test_what_documents_show_is_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType("document")  # frameworks look for the module of a handler
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    for block in blocks(path):
        if not block.exempt:
            block.run(names, tmp_path)


def test_every_fence_is_a_block():
    for path in DOCUMENTS:
        fences = re.findall(r"^ *(?:```|~~~)", path.read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(list(BLOCK.finditer(path.read_text("utf-8")))), path


@pytest.mark.parametrize(
    ("language", "code", "why"),
    [
        ("pycon", ">>> 1 + 1\n3\n", "Expected"),
        ("python", "assert 1 + 1 == 3\n", None),
        ("sh", "bedeck info nowhere\n", "no bedeck store"),
        ("sh", "curl example.org\n", "neither run nor marked"),
        ("sh", "make nothing\n", "nothing"),
        ("toml", '[type.a]\nkye = "id"\n', "kye"),
        ("console", "$ bedeck info store\n", "neither run nor marked"),
        ("", ">>> 1 + 1\n2\n", ">>>"),
    ],
)
def test_blocks_that_do_not_hold_are_told(language: str, code: str, why: str | None, tmp_path: Path):
    with pytest.raises((AssertionError, bedeck.SchemaError), match=why and re.escape(why)):
        Block(README, 0, language, code, exempt=False).run({}, tmp_path)


def test_readme_is_short():
    assert README.read_text("utf-8").count("\n") < 180


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text("utf-8")):
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), link


@pytest.mark.parametrize("name", ["open", *bedeck.__all__])
def test_public_names_are_described(name: str):
    assert (getattr(bedeck, name).__doc__ or "").strip()
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    assert re.search(rf"`(bedeck\.)?{name}\b", text)


def test_errors_are_what_the_index_says():
    for cell, _ in rows_of((ROOT / "docs" / "README.md").read_text("utf-8"), "| error |"):
        name, *bases = re.findall(r"`(\w+)`", cell)
        for base in bases:
            of = getattr(bedeck, base, None) or getattr(__import__("builtins"), base)
            assert issubclass(getattr(bedeck, name), of)


def rows_of(text: str, *starts: str) -> list[list[str]]:
    """The rows of the tables whose first lines begin so."""
    rows = []
    for start in starts:
        table = text[text.index(f"\n{start}") :].strip().split("\n\n")[0].splitlines()[2:]
        rows += [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in table]
    return rows


NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
COLUMNS: dict[str, list[pa.Array]] = {
    "bool": [pa.array([True])],
    **{name: [pa.array([7], name)] for name in NUMBERS},
    "float": [pa.array([0.5], pa.float32())],
    "double": [pa.array([0.5])],
    **{name: [pa.array(["x"], getattr(pa, name)())] for name in ("string", "large_string", "string_view")},
    "null": [pa.nulls(1)],
    "arrow.uuid": [pa.array([uuid.UUID(int=1).bytes], pa.uuid())],
    "dictionary": [pa.array(["x"]).dictionary_encode(), pa.array(["x"], pa.large_string()).dictionary_encode()],
    **{name: [pa.array([b"x"], getattr(pa, name)())] for name in ("binary", "large_binary", "binary_view")},
    "fixed_size_binary": [pa.array([b"xy"], pa.binary(2))],
    "date32": [pa.array([7], pa.date32())],
    "date64": [pa.array([86_400_000], pa.date64())],
    "list": [pa.array([["x"]])],
    "large_list": [pa.array([["x"]], pa.large_list(pa.string()))],
    "fixed_size_list": [pa.array([["x"]], pa.list_(pa.string(), 1))],
    "list_view": [pa.array([["x"]], pa.list_view(pa.string()))],
    "large_list_view": [pa.array([["x"]], pa.large_list_view(pa.string()))],
}
JSON = {"`true`": bool, "number": (int, float), "string": str, "array": list}
FIELDS = rows_of(VALUES.read_text("utf-8"), "| type | becomes")


def test_the_table_of_the_catalogue_has_every_member():
    rows = rows_of((ROOT / "docs" / "catalogue.md").read_text("utf-8"), "| member |")
    members = {re.sub(r"\[type\.X\.(\w+)\]", r"\1", row[0].strip("`")) for row in rows}
    assert members == {"namespace", "[validators]", "[type.X]", *TYPE_MEMBERS}


def test_the_example_of_a_catalogue_has_every_member():
    (example,) = (block for block in blocks(ROOT / "docs" / "catalogue.md") if block.language == "toml")
    assert set(tomllib.loads(example.code)["type"]["track"]) == set(TYPE_MEMBERS)


def timestamps(written: str) -> list[pa.Array]:
    zone = re.search(r"\[\w+,([^]]+)\]", written)
    return [pa.array([7], pa.timestamp(unit, zone and zone[1])) for unit in re.findall(r"\[(\w+)", written)]


def plain(type_: object) -> str:
    return re.split(r"[\[<]", str(type_))[0]


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row[0].replace("`", ""))
def test_types_of_fields_are_as_the_table_says(row: list[str]):
    written, sources, python, in_json, in_arrow = row
    kind = plain(re.findall(r"`([^`]+)`", written)[0])
    names = [name for name in re.findall(r"`([^`]+)`", sources) if name != "timestamp"]
    columns = [column for name in names for column in COLUMNS[name]] or timestamps(written)
    table = pa.table({"id": ["a"], **{f"c{place}": column for place, column in enumerate(columns)}})
    catalogue = make({"thing": Type("id")}, {"thing": table})
    fields = catalogue.info()["types"]["thing"]["fields"]
    assert [plain(field["type"]) for field in fields] == [kind] * len(columns)
    things = catalogue["thing"]
    values, parsed = things.decorate(["a"])[0].values(), json.loads(things.decorate_json(["a"]))[0].values()
    for value, from_json in zip(values, parsed, strict=True):
        assert value is None or f"{type(value).__module__}.{type(value).__name__}".endswith(python.split("`")[1])
        assert from_json is None or isinstance(from_json, JSON[re.split("[ ,]", in_json)[0]])
    assert {plain(field.type) for field in pa.table(things.decorate_arrow(["a"])).schema} == {in_arrow.split("`")[1]}


def test_the_table_has_every_type_of_field():
    kinds = [plain(re.findall(r"`([^`]+)`", row[0])[0]) for row in FIELDS]
    assert sorted({*kinds}) == sorted({*PLAIN, "timestamp", "list"})


ID = "4uLU6hMCjMI75M1A2tKUQC"
UUID = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
KEYS: dict[str, tuple[object, list[object], list[object], list[object]]] = {
    "base62": (ID, [ID, ID.encode()], ["short", ID.lower() + "!", "7N42dgm5tFLK9N8MT7fHC8"], [7, UUID, True]),
    "uuid": (
        str(UUID),
        [UUID, str(UUID), str(UUID).upper(), UUID.hex, UUID.bytes],
        [UUID.urn, f"{{{UUID}}}", "x"],
        [7, UUID.int],
    ),
    "int": (7, [7, np.int64(7), np.uint8(7)], [8, 2**70, -(2**70)], [True, 7.0, "7", b"7"]),
    "string": ("ö", ["ö", "ö".encode()], ["o\u0308", "Ö", "\ud800", "x" * 70_000], [7, True]),
    "bytes": (b"\xff", [b"\xff", bytearray(b"\xff")], [b"", b"\xfe"], ["\xff", 7, memoryview(b"\xff")]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_ids_are_accepted_as_the_table_says(kind: KeyKind):
    key, same, others, never = KEYS[kind]
    things = make({"thing": Type(Key("id", kind))}, {"thing": [{"id": key, "v": 1}]})["thing"]
    assert things.decorate(same, ["id"]) == [{"id": key}] * len(same)
    assert things.decorate(others) == [None] * len(others)
    for id_ in (*never, None):
        with pytest.raises(TypeError, match=r"ids\[0\]"):
            things.decorate([id_])


def test_the_table_has_every_kind_of_key():
    rows = rows_of(VALUES.read_text("utf-8"), "| kind |")
    assert [row[0].strip("`") for row in rows] == list(KEY_KINDS) == list(KEYS)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ([1], "int"),
        ([b"x"], "bytes"),
        ([ID], "base62"),
        ([ID, "7N42dgm5tFLK9N8MT7fHC8"], "string"),
        ([str(UUID)], "uuid"),
        ([UUID], "uuid"),
        ([str(UUID).upper()], "string"),
        ([str(UUID), "odd"], "string"),
        (pa.array([UUID.bytes], pa.binary(16)), "bytes"),
        (pa.array([UUID.bytes], pa.uuid()), "uuid"),
    ],
    ids=str,
)
def test_kinds_of_keys_are_inferred_as_told(keys: Sequence[object] | pa.Array, kind: str):
    catalogue = make(
        {"thing": Type("id")},
        {"thing": pa.table({"id": keys}) if isinstance(keys, pa.Array) else [{"id": key} for key in keys]},
    )
    assert catalogue.info()["types"]["thing"]["key"]["kind"] == kind


def packed(values: range) -> float:
    return (len(values) - 1).bit_length()


RECORDS, ARTISTS = 40_000, 900  # no section is so large that it is padded
LOCATOR, INDEX = 64 / 28 / 0.97, 1 / 2.8


def shape(*, wide: bool) -> tuple[dict[str, Callable[[random.Random], object]], float, float]:
    """Fields, the bits that they take in packed form, and the bytes beside those, by the table of the README."""
    fields: dict[str, Callable[[random.Random], object]] = {
        "explicit": lambda draw: draw.random() < 0.1,
        "popularity": lambda draw: draw.randrange(100),
        "seconds": lambda draw: draw.randrange(30, 3000) if draw.random() < 0.9 else None,
        "label": lambda draw: f"label {draw.randrange(500)}",
        "title": lambda draw: "x" * draw.randrange(5, 40) + str(draw.randrange(10**9, 10**10)),
        "artist_ids": lambda draw: draw.sample(range(ARTISTS), 2),
    }
    bits = 1 + packed(range(100)) + packed(range(2970)) + 1 + packed(range(500)) + 6 + 2
    beside = 22 + 10 + 2 * 2
    if not wide:
        return fields, bits, beside
    ratio: dict[str, Callable[[random.Random], object]] = {
        "ratio": lambda draw: draw.random(),
        "notes": lambda draw: "n" * 300 + str(draw.randrange(10**9, 10**10)),
    }
    return fields | ratio, bits + 64 + 8, beside + 310 + 12


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ["int", "base62", "string"])
def test_the_formula_of_the_readme_tells_what_a_store_takes(kind: str, *, wide: bool):
    fields, bits, beside = shape(wide=wide)
    key: dict[str, tuple[Callable[[int], object], int, float]] = {
        "int": (lambda n: n, 0, 8),
        "base62": (lambda n: f"{n:022}", 0, 16),
        "string": (lambda n: f"key {n:08}", 4, 12),
    }
    key_of, key_bits, key_bytes = key[kind]
    draw = random.Random(1)
    tracks = ({"id": key_of(n), **{name: make_(draw) for name, make_ in fields.items()}} for n in range(RECORDS))
    types = {"track": Type("id", references={"artists": Reference("artist_ids", "artist")}), "artist": Type("id")}
    catalogue = make(types, {"track": tracks, "artist": [{"id": n} for n in range(ARTISTS)]})
    told = math.ceil((bits + key_bits) / 8) + key_bytes + beside + LOCATOR + INDEX
    took = catalogue.memory()["types"]["track"]["bytes"]
    assert took == pytest.approx(told * RECORDS, rel=0.03)
    assert catalogue.memory()["bytes"] == catalogue.info()["bytes"]


def test_the_example_of_a_playlist():
    done = run(str(EXAMPLES / "playlist.py"))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line[0].isdigit()] == [
        "1 Tattoo - Jordin Sparks",
        "2 No Air - Jordin Sparks, Chris Brown",
        "3 (gone)",
        "4 Tattoo - Jordin Sparks",
        "730 seconds",
    ]


@contextmanager
def serving(store: Path) -> Iterator[str]:
    command = [sys.executable, str(EXAMPLES / "service.py"), str(store), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:  # noqa: S603 - our own
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address) as response:  # noqa: S310 - our own
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_the_example_of_a_service_tells_its_usage():
    done = run(str(EXAMPLES / "service.py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"usage: service\.py .*STORE \[PORT\]\n", done.stderr)
    assert "Traceback" not in done.stderr


def test_the_example_of_a_service(tmp_path: Path):
    schema, store = Schema({"track": Type("id")}), tmp_path / "store"
    bedeck.build(schema, store, {"track": [{"id": "t1", "title": "One"}]})
    with serving(store) as address:
        assert get(f"{address}/track?ids=t1,t2&fields=id,title") == (200, '[{"id":"t1","title":"One"},null]')
        assert get(f"{address}/track?ids=t1&fields=titel")[0] == 400
        assert get(f"{address}/album?ids=t1") == (400, "there is no type 'album'; the catalogue has track\n")
        bedeck.build(schema, store, {"track": [{"id": "t1", "title": "Two"}]})
        one, two = (200, '[{"title":"One"}]'), (200, '[{"title":"Two"}]')
        assert get(f"{address}/track?ids=t1") == one
        while (answer := get(f"{address}/track?ids=t1")) == one:
            pass
        assert answer == two
