"""The service behind a server of others: uvicorn."""

import asyncio
import socket
from typing import Any

import uvicorn

from bedeck._serve.asgi import Bridge
from bedeck._serve.desk import Desk

__all__ = ["UvicornDoor"]


class UvicornDoor:
    """Uvicorn, in the event loop of the worker."""

    def __init__(self, desk: Desk) -> None:
        limits = desk.limits
        config = uvicorn.Config(
            Bridge(desk),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(limits.idle),
            timeout_graceful_shutdown=max(1, int(limits.drain)),
        )
        self._server = Quiet(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def connections(self) -> set[Any]:
        """Those that are open."""
        return self._server.server_state.connections

    async def open(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve([listener]))

    async def close(self, seconds: float) -> None:
        """Accept no more, answer what was begun, and part; after ``seconds`` in any case."""
        self._server.should_exit = True
        if self._serving:
            await asyncio.wait([self._serving], timeout=seconds + 1)


class Quiet(uvicorn.Server):
    """One that leaves signals to the supervisor."""

    def install_signal_handlers(self) -> None:
        """None are."""
