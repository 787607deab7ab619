"""Services to compare over HTTP, a process each: `python -m benchmarks.services NAME PORT CACHE TRACKS`."""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response

import bedeck
from bedeck._serve.api import Api
from bedeck._serve.connection import Connection
from bedeck._serve.desk import Desk
from bedeck._serve.limits import Limits
from bedeck._serve.message import Answer
from bedeck._serve.message import Request as Asked
from bedeck._serve.metrics import Block, Slot
from bedeck.asgi import Service
from benchmarks.data import Data
from benchmarks.jobs import JSON
from benchmarks.lists import MAIN, Lists
from benchmarks.peers.dicts import DictOfDicts
from benchmarks.peers.redis import Redis
from benchmarks.subject import Bedeck

__all__ = ["PATH", "SERVICES"]

PATH: Final = "/v1/track/decorate"
Run = Callable[[int, Data], None]


def constant(port: int, data: Data) -> None:
    """Our server with an answer that is there already, of the size of one for 100 tracks."""
    body = Bedeck(data, JSON).answer(JSON)(Lists(data).of(MAIN, 1, seed=0)[0].split())

    class Fixed(Api):
        """The same answer to all."""

        def begin(self, _request: Asked, /) -> Answer:
            """The answer."""
            return Answer(body)

    limits, block = Limits(bound=10), Block(1)
    behind_ours(Fixed(limits, block, block.slots[0]), port)


def uncounted(port: int, data: Data) -> None:
    """Our server with the catalogue, and nothing that counts or watches: what `bedeck serve` does besides."""

    class Blind(Slot):
        """Numbers that nobody looks at."""

        def answered(self, route: int, code: int, seconds: float, size: int) -> None:
            """Nothing."""

        def decorated(self, ids: int, missing: int) -> None:
            """Nothing."""

    limits, block = Limits(bound=10), Block(1)
    api = Api(limits, block, Blind(block.slots[0].words))
    api.catalogue = bedeck.open(data.store)
    api.catalogue.warm()
    behind_ours(api, port)


def behind_ours(api: Api, port: int) -> None:
    """Serve it as `bedeck serve` does, in this process."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        desk = Desk(api, api.limits, api.slot, loop)
        listener = socket.create_server(("127.0.0.1", port))
        server = await loop.create_server(lambda: Connection(desk, set()), sock=listener)
        gc.collect()
        gc.freeze()
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def dicts(port: int, data: Data) -> None:
    """FastAPI and a dict of dicts: orjson, and a response that is not validated again."""
    answer = DictOfDicts(data, JSON).answer(JSON)
    app = FastAPI()

    @app.post(PATH)
    async def decorate(request: Request) -> Response:
        return Response(answer(orjson.loads(await request.body())["ids"]), media_type="application/json")

    behind_uvicorn(app, port)


def redis(port: int, data: Data) -> None:
    """FastAPI and Redis over a unix socket, asked for finished objects."""
    peer = Redis(data, JSON)
    app = FastAPI()

    @app.post(PATH)
    async def decorate(request: Request) -> Response:
        return Response(peer.answer(JSON)(orjson.loads(await request.body())["ids"]), media_type="application/json")

    behind_uvicorn(app, port)


def inside(port: int, data: Data) -> None:
    """FastAPI and bedeck in the same process."""
    music = Service(data.store, follow=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with music.lifespan():
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post(PATH)
    @music.decorated("track", JSON.fields)
    async def decorate(request: Request) -> Any:  # noqa: ANN401 - a list of ids
        return orjson.loads(await request.body())["ids"]

    behind_uvicorn(app, port)


def behind_uvicorn(app: FastAPI, port: int) -> None:
    """Serve it, as fast as uvicorn does."""
    uvicorn.run(app, port=port, log_level="warning", access_log=False, loop="uvloop", http="httptools")


SERVICES: Final[dict[str, Run]] = {
    "constant body": constant,
    "bedeck, nothing counted": uncounted,
    "FastAPI, dict of dicts": dicts,
    "FastAPI, Redis": redis,
    "FastAPI, bedeck inside": inside,
}

if __name__ == "__main__":
    name, port_, cache, tracks = sys.argv[1:]
    SERVICES[name](int(port_), Data(Path(cache), int(tracks)))
