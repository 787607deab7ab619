"""The catalogue over HTTP as an application, for a server or a framework of your choice.

>>> app = App("store/")               # for uvicorn, hypercorn, granian: module:app           # doctest: +SKIP
>>> outer.mount("/metadata", app)     # or below a path of another application                # doctest: +SKIP

It answers what ``bedeck serve`` answers: docs/http.md. Needs nothing but a server.
"""

import asyncio
import os
from types import TracebackType
from typing import Any, Self

from bedeck._serve.api import Api
from bedeck._serve.asgi import Bridge, Receive, Scope, Send
from bedeck._serve.desk import Desk
from bedeck._serve.limits import Limits
from bedeck._serve.metrics import Block
from bedeck._serve.rsgi import Exchange
from bedeck._serve.watch import Watch
from bedeck.catalogue import Catalogue
from bedeck.catalogue import open as open_catalogue
from bedeck.store import Store

__all__ = ["App", "Limits"]


class App:
    """An ASGI and RSGI application. Each process that a server starts has a catalogue, and numbers, of its own.

    ``store`` and ``options`` are what `bedeck.open` takes; with ``follow=True`` unless they say otherwise. The
    catalogue is opened and warmed when the server starts the application (lifespan in ASGI, ``__rsgi_init__`` in RSGI),
    and closed in the end; what `bedeck.open` raises ends the start. Mounted in another application it is not told of
    the start: have ``async with app: yield`` in that one's lifespan. Until then it answers 503.

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
        self._api = Api(self._limits, self._block, self._block.slots[0])
        self._lent: Desk | None = None
        self._looking: asyncio.Task[None] | None = None

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
        else:
            raise RuntimeError(f"{scope['type']} is not spoken here: HTTP is")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401 - RSGI has no types to import
        """One request (RSGI)."""
        await Exchange(self._desk(asyncio.get_running_loop()))(scope, protocol)

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
        catalogue = open_catalogue(self._store, **self._options)
        catalogue.warm(lock=self._lock)
        return catalogue

    def _begin(self, loop: asyncio.AbstractEventLoop, catalogue: Catalogue) -> None:
        watch = Watch(self._desk(loop), (), loop)
        watch.start()
        self._looking = watch.follow(catalogue)
        self._api.catalogue, self._api.live = catalogue, True

    def _end(self) -> None:
        catalogue, self._api.catalogue, self._api.live = self._api.catalogue, None, False
        if self._looking:
            self._looking.cancel()
        if catalogue:
            catalogue.close()

    def _desk(self, loop: asyncio.AbstractEventLoop) -> Desk:
        if self._lent is None or self._lent.loop is not loop:
            self._lent = Desk(self._api, self._limits, self._block.slots[0], loop)
        return self._lent
