"""The service behind a server of others: uvicorn."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from bedeck._serve.asgi import Bridge
from bedeck._serve.desk import Desk

__all__ = ["UvicornDoor"]

PARTING: Final = 1  # seconds


class UvicornDoor:
    """Uvicorn, in the event loop of the worker."""

    def __init__(self, desk: Desk) -> None:
        limits = desk.limits
        config = uvicorn.Config(
            Bridge(desk),
            lifespan="off",
            log_config=None,
            ws="none",
            limit_concurrency=limits.connections,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(limits.idle),
            timeout_graceful_shutdown=PARTING,
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

    def shut(self) -> None:
        """Accept no more. What was begun is answered."""
        for server in self._server.servers:
            server.close()

    async def part(self) -> None:
        """End the connections that there still are."""
        self._server.should_exit = True
        if self._serving:
            await asyncio.wait([self._serving], timeout=PARTING + 1)


class Quiet(uvicorn.Server):
    """One that leaves signals to the supervisor."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are."""
        yield
