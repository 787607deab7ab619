"""A catalogue inside applications of Starlette, FastAPI and Litestar."""

import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from litestar import Litestar, get
from litestar import Response as LitestarResponse
from litestar.di import NamedDependency, Provide
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import bedeck
from bedeck.asgi import Decorated, Service
from bedeck.embed import Rendered, document

SCHEMA = bedeck.Schema(
    {
        "track": bedeck.Type("id", references={"artist": bedeck.Reference("by", "artist")}),
        "artist": bedeck.Type("id"),
    }
)
TITLES = ["title", "artist.name"]
T1 = {"title": "Title 1 of 1", "artist": {"name": "Name 1 of 1"}}
IDS = ["t1", "gone", "t1"]


def publish(store: Path, version: int) -> None:
    tracks = [{"id": f"t{n}", "title": f"Title {n} of {version}", "by": f"a{n % 3}"} for n in range(9)]
    artists = [{"id": f"a{n}", "name": f"Name {n} of {version}"} for n in range(3)]
    bedeck.build(SCHEMA, store, {"track": tracks, "artist": artists})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    publish(tmp_path / "store", 1)
    return tmp_path / "store"


@pytest.fixture
def music(store: Path) -> Service:
    return Service(store, poll=3600)


def app_of(music: Service, **handlers: Any) -> FastAPI:
    app = FastAPI(lifespan=music.lifespan)
    app.add_route("/ready", music.ready)
    for name, handler in handlers.items():
        app.get(f"/{name}")(handler)
    return app


def test_ids_become_records(music: Service):
    @music.decorated("track", TITLES)
    async def later(name: str) -> list[str]:
        return [*IDS, name]

    @music.decorated("track", TITLES, missing="drop")
    def at_once() -> tuple[str, ...]:
        return tuple(IDS)

    with TestClient(app_of(music, later=later, at_once=at_once)) as client:
        answer = client.get("/later?name=t0")
        assert answer.json() == [T1, None, T1, {"title": "Title 0 of 1", "artist": {"name": "Name 0 of 1"}}]
        assert (answer.headers["content-type"], answer.headers["bedeck-version"]) == ("application/json", "1")
        assert client.get("/at_once").json() == [T1, T1]
        assert client.get("/later").status_code == 422
        parameters = client.get("/openapi.json").json()["paths"]["/later"]["get"]["parameters"]
        assert [parameter["name"] for parameter in parameters] == ["name"]


def test_entities_keep_their_fields(music: Service):
    def entries() -> list[dict[str, str]]:
        return [{"track_id": id_, "added": "monday"} for id_ in IDS]

    apart = music.decorated("track", TITLES, key="track_id", into="track")(entries)
    among = music.decorated("track", ["title"], key="track_id", missing="drop")(entries)
    with TestClient(app_of(music, apart=apart, among=among)) as client:
        assert client.get("/apart").json() == [
            {**entry, "track": None if entry["track_id"] == "gone" else T1} for entry in entries()
        ]
        assert client.get("/among").json() == [{"track_id": "t1", "added": "monday", "title": "Title 1 of 1"}] * 2


def test_what_is_missing_or_late_has_a_status_of_its_own(music: Service):
    missing = music.decorated("track", missing="error")(lambda: IDS)
    late = music.decorated("track", budget=-1.0)(lambda: IDS)
    own = music.decorated("track")(lambda: PlainTextResponse("no", 418))
    with TestClient(app_of(music, missing=missing, late=late, own=own)) as client:
        assert (client.get("/missing").status_code, "'gone'" in client.get("/missing").json()["detail"]) == (404, True)
        assert client.get("/late").status_code == 504
        assert (client.get("/own").status_code, client.get("/own").text) == (418, "no")


def test_a_request_has_one_view(music: Service, store: Path):
    seen, go_on = threading.Event(), threading.Event()

    def before(view: Annotated[bedeck.View, Depends(music.view)]) -> Any:
        [row] = view["track"].decorate(["t1"], ["title"])
        seen.set()
        assert go_on.wait(60)
        return row

    def both(
        row: Annotated[dict[str, Any], Depends(before)], view: Annotated[bedeck.View, Depends(music.view)]
    ) -> Response:
        return Decorated({"before": row, "tracks": Rendered(view["track"].decorate_json(["t1"], ["title"]))})

    with TestClient(app_of(music, both=both)) as client:
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(client.get("/both").json()))
        asking.start()
        assert seen.wait(60)
        publish(store, 2)
        assert music.catalogue.refresh()
        go_on.set()
        asking.join()
        assert answers == [{"before": {"title": "Title 1 of 1"}, "tracks": [{"title": "Title 1 of 1"}]}]
        assert client.get("/both").json()["tracks"] == [{"title": "Title 1 of 2"}]


def test_a_handler_that_takes_a_view_is_answered_from_it(music: Service, store: Path):
    @music.decorated("track", ["title"])
    def seen(view: Annotated[bedeck.View, Depends(music.view)]) -> list[str]:
        if view.version == 1:
            publish(store, 2)
            assert music.catalogue.refresh()
        return ["t1"]

    with TestClient(app_of(music, seen=seen)) as client:
        for version in ("1", "2"):
            answer = client.get("/seen")
            assert answer.json() == [{"title": f"Title 1 of {version}"}]
            assert answer.headers["bedeck-version"] == version


def test_a_handler_may_be_an_object(music: Service):
    class Playlist:
        async def __call__(self, name: str) -> list[str]:
            return [name]

    handler = music.decorated("track", TITLES)(Playlist())
    with TestClient(app_of(music, of=handler)) as client:
        assert client.get("/of?name=t1").json() == [T1]


def test_a_service_starts_once(music: Service):
    with TestClient(app_of(music)) as client:
        with pytest.raises(RuntimeError, match="a Service of its own"), TestClient(app_of(music)):
            pytest.fail("it started")
        assert client.get("/ready").status_code == 200
    with TestClient(app_of(music)) as client:
        assert client.get("/ready").status_code == 200


def test_it_is_ready_while_it_serves(music: Service):
    app = app_of(music)
    early = TestClient(app)
    answer = early.get("/ready")
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (
        503,
        {"ready": False, "version": None},
        "1",
    )
    with pytest.raises(RuntimeError, match=r"lifespan=service\.lifespan"):
        _ = music.catalogue
    with TestClient(app) as client:
        assert (client.get("/ready").status_code, client.get("/ready").json()) == (200, {"ready": True, "version": 1})
        assert music.catalogue.status().following
        catalogue = music.catalogue
    assert early.get("/ready").status_code == 503
    assert not catalogue.status().following


def test_a_start_without_a_store_fails(tmp_path: Path):
    with pytest.raises(bedeck.NotFoundError), TestClient(app_of(Service(tmp_path / "none"))):
        pytest.fail("it started")


def test_options_are_those_of_open(store: Path):
    publish(store, 2)
    music = Service(store, version=1, warm=False)
    with TestClient(app_of(music)) as client:
        assert client.get("/ready").json()["version"] == 1
        assert not music.catalogue.status().following


def test_starlette(music: Service):
    @music.decorated("track", TITLES)
    async def playlist(request: Request) -> list[str]:
        return request.path_params["ids"].split(",")

    app = Starlette(routes=[Route("/{ids}", playlist)], lifespan=music.lifespan)
    with TestClient(app) as client:
        assert client.get("/t1,gone").json() == [T1, None]


def test_litestar(music: Service):
    @get("/", dependencies={"view": Provide(music.view)})
    async def playlist(view: NamedDependency[bedeck.View]) -> LitestarResponse[bytes]:
        tracks = Rendered(view["track"].decorate_json(IDS, TITLES))
        return LitestarResponse(document({"tracks": tracks}), media_type="application/json")

    with LitestarClient(Litestar([playlist], lifespan=[music.lifespan])) as client:
        assert client.get("/").json() == {"tracks": [T1, None, T1]}
