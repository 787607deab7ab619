"""The catalogue over HTTP as an application, for a server or a framework of your choice.

>>> app = App("store/")               # for uvicorn, hypercorn, granian: module:app           # doctest: +SKIP
>>> outer.mount("/metadata", app)     # or below a path of another application                # doctest: +SKIP

It answers what ``bedeck serve`` answers: docs/http.md. Needs nothing but a server.
"""

import asyncio
import os
from types import TracebackType
from typing import Any, Self

from bedeck._serve import rsgi
from bedeck._serve.api import Api
from bedeck._serve.asgi import Bridge, Receive, Scope, Send
from bedeck._serve.desk import Desk
from bedeck._serve.limits import Limits
from bedeck._serve.metrics import Block
from bedeck._serve.opening import opened
from bedeck._serve.watch import Watch
from bedeck.catalogue import Catalogue
from bedeck.store import Store

__all__ = ["App", "Limits"]


class App:
    """An ASGI and RSGI application. Each process that a server starts has a catalogue, and numbers, of its own.

    ``store`` and ``options`` are what `bedeck.open` takes; with ``follow=True`` unless they say otherwise. The
    catalogue is opened and warmed when the server starts the application (lifespan in ASGI, ``__rsgi_init__`` in RSGI),
    and closed in the end; what `bedeck.open` raises ends the start. Mounted in another application it is not told of
    the start: have ``async with app: yield`` in that one's lifespan. Until then it answers 503. With ``wait`` the start
    lasts until there is a version; servers end it no sooner.

    Requests are answered one after the other on the event loop. ``limits`` says which are refused, and when; those that
    are about connections are the server's matter.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Store,
        *,
        limits: Limits | None = None,
        lock: bool = False,
        **options: Any,  # noqa: ANN401 - those of bedeck.open
    ) -> None:
        self._store = store
        self._options = {"follow": options.get("version") is None, **options}
        self._limits = limits or Limits()
        self._lock = lock
        self._block = Block(1)
        lacking = "the application has not started, or has ended: its lifespan, or `async with app`, starts it"
        self._api = Api(self._limits, self._block, self._block.slots[0], lacking)
        self._lent: Desk | None = None
        self._watch: Watch | None = None

    async def __aenter__(self) -> Self:
        """Open and warm the catalogue, in a thread, and answer from it."""
        loop = asyncio.get_running_loop()
        self._begin(loop, await loop.run_in_executor(None, self._open))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no more, and close it."""
        self._end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan (ASGI)."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await Bridge(self._desk(asyncio.get_running_loop()))(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # not spoken here, which a server tells with 403
        else:
            raise RuntimeError(f"{scope['type']} is not spoken here: HTTP is")

    async def __rsgi__(self, scope: rsgi.Scope, protocol: rsgi.Wire) -> None:
        """One request (RSGI)."""
        await rsgi.Exchange(self._desk(asyncio.get_running_loop()))(scope, protocol)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """The start (RSGI)."""
        self._begin(loop, self._open())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """The end (RSGI)."""
        self._end()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._end()
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> Catalogue:
        if self._watch:
            raise RuntimeError(
                "the application has started already, and not ended: a second one needs an App of its own"
            )
        return opened(self._store, self._options, lock=self._lock)

    def _begin(self, loop: asyncio.AbstractEventLoop, catalogue: Catalogue) -> None:
        self._watch = Watch(self._desk(loop), None, loop)
        self._watch.start()
        self._watch.follow(catalogue)
        self._api.catalogue, self._api.live = catalogue, True
        self._api.slot.set("ready", 1)

    def _end(self) -> None:
        if self._watch:
            self._watch.stop()
            self._watch = None
        self._api.slot.set("ready", 0)
        self._api.close()

    def _desk(self, loop: asyncio.AbstractEventLoop) -> Desk:
        if self._lent is None or self._lent.loop is not loop:
            self._lent = Desk(self._api, self._limits, self._block.slots[0], loop)
        return self._lent
