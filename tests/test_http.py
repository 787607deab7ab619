"""What is answered over HTTP: the same behind our own server and those of others, and as a part of an application."""

import gc
import gzip
import json
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, asgi
from litestar.testing import TestClient as LitestarClient
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import bedeck
from bedeck._core import read_ids, read_uris
from bedeck._serve.api import Job
from bedeck._serve.encoding import encoded
from bedeck._serve.exposition import METRICS
from bedeck._serve.message import Answer, Request
from bedeck.app import App, Limits
from serving import Served, Told, free_port, publish, served, waited

PROBLEM = "application/problem+json"
LIMITS = Limits(ids=1500, body=100_000, bound=10)
FOREIGN = {
    "uvicorn": ["-m", "uvicorn", "--factory", "--port", "{port}", "foreign:app", "--log-level", "warning"],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "foreign:app()"],
    "granian": ["-m", "granian", "--factory", "--interface", "{door}", "--port", "{port}", "--no-log", "foreign:app"],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("http") / "store"
    publish(path)
    return path


@pytest.fixture(
    scope="module", params=["bedeck", "uvicorn door", "uvicorn", "hypercorn", "granian asgi", "granian rsgi"]
)
def service(request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ExitStack() as stack:
        if request.param in {"bedeck", "uvicorn door"}:
            yield stack.enter_context(served(store, LIMITS, server=request.param.split()[0]))
            return
        name, _, door = request.param.partition(" ")
        folder, port = tmp_path_factory.mktemp("foreign"), free_port()
        made = f"def app():\n    return App({str(store)!r}, limits=Limits(ids=1500, body=100_000, bound=10))\n"
        (folder / "foreign.py").write_text(f"from bedeck.app import App, Limits\n{made}")
        command = [part.format(port=port, door=door) for part in FOREIGN[name]]
        process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
        stack.callback(process.wait)
        stack.callback(process.terminate)
        service = Served(process, f"http://127.0.0.1:{port}")
        waited(lambda: service.ask("GET", "/readyz").status == 200)
        yield service


@pytest.fixture(scope="module")
def catalogue(store: Path) -> bedeck.Catalogue:
    return bedeck.open(store)


def test_a_list_is_what_decorate_json_gives(service: Served, catalogue: bedeck.Catalogue):
    ids, fields = ["t1", "gone", "t2", "t1"], ["title", "artists.name"]
    told = service.ask("POST", "/v1/track/decorate", {"ids": ids, "fields": fields})
    assert (told.status, told.headers["content-type"], told.headers["bedeck-version"]) == (200, "application/json", "1")
    assert told.body == catalogue["track"].decorate_json(ids, fields)


def test_without_fields_it_is_all_of_the_type_itself(service: Served, catalogue: bedeck.Catalogue):
    told = service.ask("POST", "/v1/album/decorate", {"ids": [1, 99, -3, 2**70, 2]})
    assert told.body == catalogue["album"].decorate_json([1, 99, -3, 2**70, 2])


@pytest.mark.parametrize("total", [0, 1, 499, 500, 501, 1000, 1500])
@pytest.mark.parametrize("missing", ["null", "drop"])
def test_long_lists_are_the_same_as_short_ones(service: Served, catalogue: bedeck.Catalogue, total: int, missing: Any):
    ids = [f"t{n}" if n % 3 else "gone" for n in range(total)]
    told = service.ask("POST", "/v1/track/decorate", {"ids": ids, "fields": ["title"], "missing": missing})
    assert told.body == catalogue["track"].decorate_json(ids, ["title"], missing=missing)
    lines = service.ask("POST", "/v1/track/decorate", {"ids": ids, "missing": missing}, accept="application/x-ndjson")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.body.splitlines()] == catalogue["track"].decorate(ids, missing=missing)


def test_missing_error_names_the_place(service: Served):
    ids = [f"t{n}" for n in range(700)] + ["gone"]
    told = service.ask("POST", "/v1/track/decorate", {"ids": ids, "missing": "error"})
    assert (told.status, told.headers["content-type"]) == (404, PROBLEM)
    assert "ids[700]: 'gone'" in told.json["detail"]


def test_lists_of_several_types(service: Served, catalogue: bedeck.Catalogue):
    uris = ["music:track:t1", "music:artist:a2", "music:show:s1", "music:track:gone"] * 200
    fields = {"track": ["title"], "artist": ["name"]}
    for missing in ("null", "drop"):
        told = service.ask("POST", "/v1/decorate", {"uris": uris, "fields": fields, "missing": missing})
        assert told.body == catalogue.decorate_json(uris, fields, missing=missing)


def test_a_record_by_its_key(service: Served, catalogue: bedeck.Catalogue):
    assert service.ask("GET", "/v1/track/t5").json == catalogue["track"].decorate(["t5"])[0]
    assert service.ask("GET", "/v1/album/5?fields=title").json == {"title": "Album 5"}
    if "rsgi" not in service.process.args:  # its paths come decoded
        assert service.ask("GET", "/v1/raw/%02%FF").json == {"title": "Raw 2"}
    for path in (
        "/v1/track/gone",
        "/v1/album/x",
        "/v1/album/99999999999999999999",
        "/v1/track/%ff",
        "/v1/show/1",
        "/v1/track/a/b",
    ):
        told = service.ask("GET", path)
        assert (path, told.status, told.headers["content-type"]) == (path, 404, PROBLEM)


def test_lists_for_caches(service: Served, catalogue: bedeck.Catalogue):
    path = "/v1/track?ids=t1,gone,t2&ids=t3&fields=title,artists.name"
    told = service.ask("GET", path)
    assert told.body == catalogue["track"].decorate_json(["t1", "gone", "t2", "t3"], ["title", "artists.name"])
    assert told.headers["cache-control"] == "no-cache"
    again = service.ask("GET", path, if_none_match=told.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", told.headers["etag"])
    assert service.ask("GET", path, if_none_match='"other"').status == 200
    assert service.ask("GET", path + "&missing=drop").headers["etag"] != told.headers["etag"]
    assert service.ask("GET", "/v1/album?ids=1,x,3").json[1] is None
    long = service.ask("GET", "/v1/track?ids=" + ",".join(f"t{n}" for n in range(700)))
    assert (len(long.json), "etag" in long.headers) == (700, True)


def test_head_is_get_without_the_body(service: Served):
    for path in ("/v1/track/t1", "/v1/track?ids=t1", "/readyz", "/v1/track/gone"):
        of, told = service.ask("GET", path), service.ask("HEAD", path)
        assert (told.status, told.body) == (of.status, b"")
        assert told.headers["content-length"] == str(len(of.body))


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/track/decorate", b"", 400, "the body"),
        ("/v1/track/decorate", b"[1,2]", 400, "the body"),
        ("/v1/track/decorate", b' [["t1"], ["title"]]', 400, "object"),
        ("/v1/track/decorate", b'{"ids": ["a"', 400, "EOF"),
        ("/v1/track/decorate", b'{"ids": ["\xff"]}', 400, "the body"),
        ("/v1/track/decorate", b'{"ids": "t1"}', 400, "a list of ids"),
        ("/v1/track/decorate", b'{"ids": [null]}', 400, "an id"),
        ("/v1/track/decorate", b'{"ids": [1.5]}', 400, "an id"),
        ("/v1/track/decorate", b'{"ids": [], "ids": []}', 400, "duplicate"),
        ("/v1/track/decorate", b'{"ids": [], "feilds": []}', 400, "feilds"),
        ("/v1/track/decorate", b'{"fields": []}', 400, "ids"),
        ("/v1/track/decorate", b'{"ids": ["t1", 2]}', 422, "ids[1]"),
        ("/v1/album/decorate", b'{"ids": ["t1"]}', 422, "ids[0]"),
        ("/v1/track/decorate", json.dumps({"ids": ["t1"] * 700 + [5]}).encode(), 422, "ids[700]"),
        ("/v1/track/decorate", json.dumps({"ids": [], "fields": ["title"] * 1001}).encode(), 422, "1001 fields"),
        ("/v1/track/decorate", json.dumps({"ids": [], "fields": ["x" * 90_000]}).encode(), 422, "it has id"),
        ("/v1/a/b/" + "%22" * 5000, b"", 404, "there is nothing at"),
        ("/v1/track/decorate", b'{"ids": [], "fields": ["titel"]}', 422, "title"),
        ("/v1/track/decorate", b'{"ids": [], "missing": "x"}', 422, "drop"),
        ("/v1/show/decorate", b'{"ids": []}', 404, "track"),
        ("/v1/track/decorate", json.dumps({"ids": ["t"] * 1501}).encode(), 413, "1500"),
        ("/v1/track/decorate", b" " * 100_001, 413, "100000"),
        ("/v1/decorate", b'{"uris": ["a"], "fields": {"show": null}}', 422, "show"),
        ("/v1/decorate", b'{"uris": ["a"], "fields": {"raw": null}}', 422, "raw"),
        ("/v1/raw/decorate", b'{"ids": ["a"]}', 422, "GET /v1/raw?ids="),
        ("/v1/decorate", b'{"uris": [], "fields": {"show": null}}', 422, "show"),
        ("/v1/decorate", b'{"uris": [1], "fields": {}}', 400, "the body"),
        ("/v1/nothing/at/all", b"{}", 404, "/docs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(service: Served, path: str, body: bytes, status: int, words: str):
    told = service.ask("POST", path, body)
    assert (told.status, told.headers["content-type"], told.json["status"]) == (status, PROBLEM, status)
    assert words in told.json["detail"]
    assert len(told.body) < 5000


def test_lines_that_are_cut_off_are_not_taken_for_all_of_them(service: Served):
    """What cannot be told by a status any more ends the connection before the body ends."""
    for ids in (["t1"] * 1400 + [5], ["t1"] * 600 + [5] + ["t1"] * 700):
        try:
            told = service.ask("POST", "/v1/track/decorate", {"ids": ids}, accept="application/x-ndjson")
        except (HTTPException, ConnectionError):
            continue
        assert (told.status, told.json["parameter"]) == (422, "ids")


def test_headers_may_hold_anything(service: Served):
    for value in ("caf\xe9", "\xff\xfe, application/json"):
        given = {"accept": value, "traceparent": value, "if-none-match": value}
        assert service.ask("GET", "/v1/track/t1", **given).status == 200


def test_what_there_is_not_is_not_unchanged(service: Served):
    assert service.ask("GET", "/v1/track/gone", if_none_match="*").status == 404
    assert service.ask("GET", "/v1/track/t1", if_none_match="*").status == 304
    assert service.ask("GET", "/v1/track/").status == 404


def test_methods_are_those_of_the_place(service: Served):
    for method, path, allowed in (
        ("DELETE", "/v1/track/t1", "GET, HEAD"),
        ("POST", "/v1/track", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
        ("PUT", "/v1/track/decorate", "POST, GET, HEAD"),
        ("PUT", "/v1/decorate", "POST"),
    ):
        told = service.ask(method, path)
        assert (path, told.status, told.headers["allow"]) == (path, 405, allowed)


def test_queries_are_checked(service: Served):
    for path, status in (("/v1/track", 400), ("/v1/track?ids=t1&x=1", 400), ("/v1/track?ids=t1&missing=x", 422)):
        assert (path, service.ask("GET", path).status) == (path, status)


def test_ids_of_requests_come_back(service: Served):
    assert service.ask("GET", "/v1/track/t1", x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    assert service.ask("GET", "/v1/track/gone", x_request_id="abc-2").headers["x-request-id"] == "abc-2"


def test_a_deadline_that_has_passed_is_told(service: Served):
    told = service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}, bedeck_timeout_ms="0")
    assert (told.status, told.headers["retry-after"]) == (503, "1")
    assert "its time was over" in told.json["detail"]
    assert service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}, bedeck_timeout_ms="5000").status == 200
    assert service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}, bedeck_timeout_ms="soon").status == 400


def test_what_it_offers_is_described(service: Served):
    document = service.ask("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert {"/v1/track/decorate", "/v1/track", "/v1/track/{key}", "/v1/decorate", "/readyz"} <= set(document["paths"])
    page = service.ask("GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"http://" not in page.body
    assert b"https://" not in page.body


def test_it_lives_and_is_ready(service: Served):
    assert service.ask("GET", "/livez").json == {"live": True}
    assert service.ask("GET", "/readyz").json == {"ready": True, "version": 1}


def test_long_bodies_are_compressed_for_who_takes_that(store: Path, catalogue: bedeck.Catalogue):
    with TestClient(App(store, limits=Limits(compress=100))) as client:
        asked = {"ids": [f"t{n}" for n in range(50)], "fields": ["title"]}
        whole = catalogue["track"].decorate_json(asked["ids"], ["title"])
        for accepted, encoding in (
            ("gzip", "gzip"),
            ("br, *", "gzip"),
            ("gzip;q=0", None),
            ("gzip;\tq=0.000", None),
            ("gzip;q=0.;x=1", None),
            ("gzip;q=0.01", "gzip"),
            ("identity", None),
            ("", None),
        ):
            told = client.post("/v1/track/decorate", json=asked, headers={"accept-encoding": accepted})
            assert (told.content, told.headers.get("content-encoding")) == (whole, encoding)
            assert told.headers["vary"] == "accept-encoding"
        short = client.get("/v1/track/t1?fields=edition", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in short.headers
        assert short.headers["etag"].startswith("W/")
        assert (
            client.get("/v1/track/t1?fields=edition", headers={"if-none-match": short.headers["etag"]}).status_code
            == 304
        )


def test_lines_are_compressed_while_they_are_made(store: Path, catalogue: bedeck.Catalogue):
    ids = [f"t{n % 100}" for n in range(1200)]
    lines = b"".join(record + b"\n" for record in catalogue["track"].fragments(ids, ["title"]))
    with served(store, Limits(bound=10, compress=1 << 20)) as service:
        asked = {"ids": ids, "fields": ["title"]}
        for accepted, unpacked in (("gzip", gzip.decompress), ("identity", bytes)):
            told = service.ask(
                "POST", "/v1/track/decorate", asked, accept="application/x-ndjson", accept_encoding=accepted
            )
            assert told.headers["vary"] == "accept-encoding"
            assert told.headers["transfer-encoding"] == "chunked"
            assert unpacked(told.body) == lines
            assert len(told.body) < len(lines) or accepted == "identity"


def stepped(begun: Answer | Job) -> tuple[Answer, int]:
    """An answer, and the steps that it took."""
    steps = 0
    while not isinstance(begun, Answer):
        try:
            next(begun)
            steps += 1
        except StopIteration as ended:
            return ended.value, steps
    return begun, steps


def test_what_is_compressed_gives_way_and_keeps_its_time():
    body = bytes(range(256)) * 8000
    for seconds, encoding in ((3600.0, (b"content-encoding", b"gzip")), (-1.0, (b"vary", b"accept-encoding"))):
        request = Request("GET", "/v1/track", "", {b"accept-encoding": b"gzip"}, time.monotonic())
        request.deadline += seconds
        answer, steps = stepped(encoded(Answer(body), request, 1))
        assert isinstance(answer.body, bytes)
        assert answer.headers[-1] == encoding
        assert (answer.body if seconds < 0 else gzip.decompress(answer.body)) == body
        assert steps > 50 if seconds > 0 else steps == 1


def test_compressed_lines_can_be_read_as_they_come():
    request = Request("GET", "/v1/track", "", {b"accept-encoding": b"gzip"}, time.monotonic())
    lines = [b'{"id":"t%d"}\n' % n for n in range(5)]
    answer, _ = stepped(encoded(Answer(iter(lines)), request, 1))
    unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert [unpacked.decompress(piece) for piece in answer.body] == [*lines, b""]


def mounted(app: App, *places: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with app:
            yield

    return Starlette(routes=[Mount(place, app) for place in places], lifespan=lifespan)


def test_it_can_be_a_part_of_an_application(store: Path, catalogue: bedeck.Catalogue):
    with TestClient(mounted(App(store), "/metadata")) as client:
        assert client.get("/metadata/v1/track/t1").json() == catalogue["track"].decorate(["t1"])[0]
        told = client.post("/metadata/v1/track/decorate", json={"ids": ["t1"], "fields": ["title"]})
        assert told.content == catalogue["track"].decorate_json(["t1"], ["title"])
        assert client.get("/metadata/metrics").status_code == 200


def test_where_it_is_mounted_may_be_written_in_any_way(store: Path):
    app = mounted(App(store), "/meta data", "/métadonnées/{name}")
    with TestClient(app) as client:
        for place in ("/meta%20data", "/m%65ta%20data", "/m%C3%A9tadonn%C3%A9es/a%40b", "/métadonnées/ü"):
            assert client.get(f"{place}/v1/track/t1").status_code == 200
            assert client.get(f"{place}/v1/track/t%2F1").status_code == 404


def test_it_can_be_mounted_in_litestar(store: Path):
    app = App(store)

    @asgi("/metadata", is_mount=True, copy_scope=True)
    async def metadata(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    metadata.fn.__annotations__.update(scope=LitestarScope, receive=LitestarReceive, send=LitestarSend)
    with LitestarClient(Litestar([metadata], lifespan=[lambda _: app])) as client:
        assert client.get("/metadata/v1/track/t1").json()["title"] == 'Title 1 é"'
        assert client.get("/metadata/livez").status_code == 200


def test_it_starts_once_and_leaves_nothing(store: Path):
    app, callbacks = App(store), list(gc.callbacks)
    for _ in range(3):
        with TestClient(app) as client:
            assert b"bedeck_workers_ready 1\n" in client.get("/metrics").content
            with pytest.raises(RuntimeError, match="an App of its own"), TestClient(app):
                pytest.fail("it started")
            assert client.get("/v1/track/t1").status_code == 200
        assert gc.callbacks == callbacks
        ended = TestClient(app)
        assert b"bedeck_workers_ready 0\n" in ended.get("/metrics").content
        assert ended.get("/v1/track/t1").status_code == 503


def test_other_protocols_are_not_spoken(store: Path):
    with TestClient(App(store)) as client, pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/track/t1"):
        pytest.fail("it was let in")


def test_before_it_is_started_it_is_not_ready(store: Path):
    client = TestClient(App(store))  # without its lifespan
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    told = client.get("/v1/track/t1")
    assert told.status_code == 503
    assert "its lifespan" in told.json()["detail"]


def test_what_it_cannot_open_ends_the_start(tmp_path: Path):
    with pytest.raises(bedeck.errors.NotFoundError, match="nothing"), TestClient(App(tmp_path / "nothing")):
        pass


IDS = st.lists(st.one_of(st.text(), st.integers(-(2**63), 2**64 - 1)), max_size=30)


@given(IDS, st.none() | st.lists(st.text(), max_size=5), st.none() | st.text(max_size=5), st.booleans())
def test_bodies_are_read_as_json_has_them(asked: list[Any], fields: Any, missing: Any, partial: bool):  # noqa: FBT001 - drawn
    body = json.dumps({"missing": missing, "ids": asked, "fields": fields, "partial": partial}).encode()
    found, names, kept, part = read_ids(body)
    assert [found[n] for n in range(len(found))] == asked
    assert (names, kept, part) == (None if fields is None else tuple(fields), missing, partial)
    assert [found.part(1, 3)[n] for n in range(len(found.part(1, 3)))] == asked[1:3]


def read_or_refused(body: bytes) -> None:
    for read in (read_ids, read_uris):
        try:
            found, *_ = read(body)
        except ValueError as error:
            if not str(error):
                raise
        else:
            assert len(found) <= len(body)


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_read_or_refused(body: bytes):
    read_or_refused(body)


@given(st.data())
def test_damaged_bodies_are_read_or_refused(data: st.DataObject):
    body = bytearray(json.dumps({"ids": ["t1", 5, "é"], "fields": ["a"], "missing": "null", "partial": True}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(body))


def test_limits_are_numbers_above_nothing():
    for wrong in ({"bound": 0}, {"ids": -1}, {"body": "1"}, {"waiting": float("nan")}, {"idle": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Limits(**wrong)  # type: ignore[arg-type]


def told(service: Served) -> Told:
    return service.ask("GET", "/metrics")


def test_metrics_are_text_that_prometheus_reads(service: Served):
    before = told(service)
    assert before.headers["content-type"].startswith("text/plain; version=0.0.4")
    ids_before = service.metric("bedeck_decorate_ids_total")
    missing_before = service.metric("bedeck_decorate_missing_total")
    service.ask("POST", "/v1/track/decorate", {"ids": ["t1", "gone", "t2"]})
    assert service.metric("bedeck_decorate_ids_total") == ids_before + 3
    assert service.metric("bedeck_decorate_missing_total") == missing_before + 1
    families = {family.name: family for family in text_string_to_metric_families(told(service).body.decode())}
    assert {name.removesuffix("_total") for name in METRICS} == {name.removesuffix("_total") for name in families}
    samples = families["bedeck_http_requests"].samples
    assert sum(of.value for of in samples if of.labels["route"] == "decorate" and of.labels["code"] == "200") >= 1
