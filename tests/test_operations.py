"""The verbs that change what is served, and tell of it; docs/cli.md has their manual, docs/operations.md their use."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bedeck
from bedeck._cli.verbs import verbs
from bedeck.store import LocalStore, Store
from manual import documented, shape
from servers import Place
from shelves import announce, blob_names
from stores import SMALL, small_rows


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with versions 1 to 3."""
    store = LocalStore(tmp_path / "store")
    for _ in range(3):
        announce(store)
    return store


def run(*args: object) -> Result:
    return CliRunner().invoke(verbs, [str(arg) for arg in args], catch_exceptions=False)


def ok(*args: object) -> str:
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def told(*args: object) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(ok(*args, "--json"))
    return facts


def refused(code: int, *args: object) -> str:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("bedeck: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def moment(text: str) -> str:
    """`text` without who and when."""
    return re.sub(r"\S+@\S+", "WHO", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "WHEN", text))


def test_versions_tells_what_is_served_and_why(store: LocalStore) -> None:
    place = store.place
    assert moment(ok("versions", place)).splitlines()[:3] == [
        f"{place}: version 3 is served",
        "  version 3 is announced, by WHO at WHEN",
        "",
    ]
    store.pin(1, "wrong titles\n in 3")
    store.rollback(2, "so are those in 3")
    lines = moment(ok("versions", place)).splitlines()
    assert lines[:4] == [
        f"{place}: version 1 is served",
        "  version 1 is pinned, by WHO at WHEN: wrong titles\\n in 3",
        "  version 2 is announced again, by WHO at WHEN: so are those in 3, and served once it is unpinned",
        "",
    ]
    assert [line.split() for line in lines[4:]] == [
        ["version", "announced", "by", "bytes", "new"],
        ["3", "WHEN", "WHO", "15", "B", "15", "B"],
        ["2", "announced", "WHEN", "WHO", "15", "B", "15", "B"],
        ["1", "served,", "pinned", "WHEN", "WHO", "15", "B", "15", "B"],
    ]


def test_versions_as_json(store: LocalStore) -> None:
    announce(store, details={"counts": {"track": 1}})
    store.pin(2, "why")
    facts = told("versions", store.place)
    assert shape({**facts, "versions": [{**of, "details": {}} for of in facts["versions"]]}) == shape(
        documented("versions")
    )
    assert (facts["path"], facts["entry"], facts["served"]) == (store.place, 5, 2)
    entry = store.entry(5)
    assert facts["pinned"] == {
        "version": 2,
        "entry": 5,
        "kind": "pin",
        "at": entry.at,
        "by": entry.by,
        "reason": "why",
    }
    assert (facts["announced"]["version"], facts["announced"]["kind"], facts["announced"]["reason"]) == (
        4,
        "announce",
        None,
    )
    assert [of["version"] for of in facts["versions"]] == [4, 3, 2, 1]
    assert facts["versions"][0]["details"] == {"counts": {"track": 1}}


def test_versions_tells_damage(store: LocalStore) -> None:
    (track,) = blob_names(store, 2) - blob_names(store, 3)
    (store.path / track).unlink()
    line = f"damage: version 2: blob {track.removeprefix('blobs/')} is missing"
    assert ok("versions", store.place).splitlines()[-1] == line
    assert store.place in refused(3, "pin", store.place, 2, "--reason", "why")


def test_a_rollback_may_be_instead_of_one_version_alone(store: LocalStore) -> None:
    assert store.rollback(2, "why", instead=3).announced.version == 2
    with pytest.raises(bedeck.BusyError, match=r"version 2 is what is announced in .*, and no longer 3"):
        store.rollback(1, "why", instead=3)
    assert store.resolve().version == 2


def test_pin_unpin_and_rollback(store: LocalStore) -> None:
    place = store.place
    assert ok("pin", place, 1, "--reason", "bad").splitlines() == [
        f"{place}: version 1 is pinned, and served from now on",
        "  version 3 is announced, and served once it is unpinned",
    ]
    assert ok("rollback", place, 2, "--reason", "bad").splitlines() == [
        f"{place}: version 2 is announced again, and the next build goes on from it",
        "  version 1 stays pinned, and served until it is unpinned",
    ]
    assert ok("pin", place, 2, "--reason", "bad") == f"{place}: version 2 is pinned, and served from now on\n"
    assert ok("unpin", place, "--reason", "good") == (
        f"{place}: nothing is pinned any more; version 2 is announced, and served from now on\n"
    )
    assert ok("rollback", place, 3, "--reason", "it was good").splitlines() == [
        f"{place}: version 3 is announced again, and the next build goes on from it",
        "  version 3 is served from now on",
    ]
    assert [(entry.kind, entry.details.get("reason")) for entry in store.history()][:5] == [
        ("rollback", "it was good"),
        ("unpin", "good"),
        ("pin", "bad"),
        ("rollback", "bad"),
        ("pin", "bad"),
    ]


def test_pin_unpin_and_rollback_as_json(store: LocalStore) -> None:
    for served, args in ((1, ("pin", 1)), (3, ("unpin",)), (2, ("rollback", 2))):
        facts = told(args[0], store.place, *args[1:], "--reason", "why")
        assert shape(facts) == shape(documented(str(args[0])))
        assert (facts["kind"], facts["served"], facts["reason"]) == (args[0], served, "why")


def test_what_cannot_be_is_refused(store: LocalStore, tmp_path: Path) -> None:
    place = store.place
    assert "no version 9" in refused(1, "pin", place, 9, "--reason", "why")
    assert "no version 9" in refused(1, "rollback", place, 9, "--reason", "why")
    assert "version 3 is what is announced" in refused(5, "rollback", place, 3, "--reason", "why")
    assert "nothing is pinned" in refused(1, "unpin", place, "--reason", "why")
    for args in (("pin", place, 1), ("unpin", place), ("rollback", place, 1)):
        assert "--reason" in refused(2, *args)
    for args in (("pin", place, 0), ("pin", place, "x"), ("gc", place, "--keep", 0), ("gc", place, "--grace", -1)):
        refused(2, *args, "--reason", "why")
    for args in (("versions",), ("gc",)):
        assert "no bedeck store at" in refused(1, *args, tmp_path / "nowhere")
    assert "no bedeck store at" in refused(1, "pin", tmp_path, 1, "--reason", "why")
    assert "az://container/prefix is expected" in refused(5, "versions", "ftp://host/x")
    assert store.entries() == [1, 2, 3]


def test_a_store_without_an_announcement_is_told(tmp_path: Path) -> None:
    with LocalStore(tmp_path / "store").hold():
        pass
    for verb in ("versions", "gc"):
        assert "nothing is announced in" in refused(1, verb, tmp_path / "store")


def test_gc_tells_what_goes_and_what_stays(store: LocalStore) -> None:
    place = store.place
    store.pin(1, "why")
    goes = sorted([*(blob_names(store, 2) - blob_names(store, 3)), f"manifests/{store.resolve(2).manifest}.json"])
    size = sum((store.path / name).stat().st_size for name in goes)
    store.objects.put("blobs/track-00000000000000000000000000000000.blob", b"being built")
    expected = [f"  {name}" for name in goes]
    dry = ok("gc", place, "--keep", 1, "--dry-run").splitlines()
    assert dry[0] == f"{place}: would drop version 2 and keep versions 3, 1; would remove 2 files, {size} B"
    assert [line[: line.rindex("  ")].rstrip() for line in dry[1:3]] == expected
    assert dry[3:] == ["spared: 1 file, 11 B, that no version needs, but a build may"]
    done = ok("gc", place, "--keep", 1).splitlines()
    assert done == [f"{place}: dropped version 2 and kept versions 3, 1; removed 2 files, {size} B", *dry[1:]]
    again = ok("gc", place, "--keep", 1).splitlines()
    assert again == [f"{place}: dropped no version and kept versions 3, 1; removed 0 files, 0 B", dry[3]]
    assert "removed 1 file, 11 B" in ok("gc", place, "--keep", 1, "--grace", 0)


def test_gc_as_json(store: LocalStore) -> None:
    store.objects.put("blobs/track-00000000000000000000000000000000.blob", b"being built")
    dry = told("gc", store.place, "--keep", 1, "--dry-run")
    done = told("gc", store.place, "--keep", 1)
    assert dry == {**done, "dry_run": True}
    assert shape(done) == shape(documented("gc"))
    assert (done["kept"], done["dropped"], done["bytes"]) == ([3], [2, 1], sum(of["bytes"] for of in done["objects"]))


def test_gc_keeps_five_versions_unless_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    for _ in range(7):
        announce(store)
    assert told("gc", store.place)["kept"] == [7, 6, 5, 4, 3]


def test_damage_is_told_by_the_exit_code(store: LocalStore) -> None:
    (store.path / "log" / "0000000003.json").write_bytes(b"rubbish")
    for args in (("versions",), ("gc",)):
        assert "log entry 3" in refused(3, *args, store.place)
    assert "log entry 3" in refused(3, "pin", store.place, 1, "--reason", "why")


def test_the_other_verbs_see_what_is_served(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for tag in ("", " again"):
        bedeck.build(SMALL, store, small_rows(tag))
    ok("pin", store, 1, "--reason", "why")
    assert json.loads(ok("get", store, "a", "x", "--json"))["n"] == "Ann"
    assert json.loads(ok("info", store, "--json"))["version"] == 1
    assert json.loads(ok("info", store, "--version", 2, "--json"))["version"] == 2
    ok("unpin", store, "--reason", "why")
    assert json.loads(ok("get", store, "a", "x", "--json"))["n"] == "Ann again"


def environment(s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "moto",
        "AWS_SECRET_ACCESS_KEY": "moto",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{s3.address}",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_url_and_the_environment_are_enough(s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://bucket/{secrets.token_hex(8)}"
    store = Store.at(url, **s3.options)
    for _ in range(3):
        announce(store)
    environment(s3, monkeypatch)
    assert told("pin", url, 1, "--reason", "why")["served"] == 1
    assert told("versions", f"{url}/")["served"] == 1
    assert told("gc", url, "--keep", 1)["kept"] == [3, 1]
    assert ok("unpin", url, "--reason", "why").startswith(f"{url}: nothing is pinned any more; version 3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert f"{url}: " in refused(5, "versions", url)


def test_a_catalogue_at_a_url_is_read(s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(s3, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"s3://bucket/{secrets.token_hex(8)}"
    schema = bedeck.Schema({"a": bedeck.Type("id")})
    bedeck.Producer(url, schema, work=tmp_path / "work").cycle({"a": [{"id": "x", "n": 1}, {"id": "y", "n": 2}]})
    assert told("info", url)["path"] == url
    assert json.loads(ok("get", url, "a", "x", "--json"))["n"] == 1
    assert json.loads(ok("decorate", url, "a", "y", "z")) == [{"n": 2}, None]
    assert told("verify", url)["version"] == 1
    refused(1, "info", f"{url}-other")
