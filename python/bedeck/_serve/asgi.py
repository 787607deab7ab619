"""The service as an ASGI application (https://asgi.readthedocs.io, HTTP 2.3 and later)."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from bedeck._serve.desk import Desk
from bedeck._serve.message import HEADERS, UNCHANGED, Answer, Problem, Request
from bedeck._serve.turn import answered, body_within

__all__ = ["Bridge", "Receive", "Scope", "Send"]

DEEPEST: Final = 16  # parts of a path below which an application may be mounted
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Bridge:
    """What a server calls for each request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = request_of(scope)
        answer, route = await answered(self._desk, request, lambda most: body_within(parts_of(receive), most))
        size = await self._send(answer, request, send)
        self._desk.answered(request, route, answer.status, size)

    async def _send(self, answer: Answer, request: Request, send: Send) -> int:
        headers = list(answer.headers)
        if self._desk.draining:
            headers.append((b"connection", b"close"))
        if echo := request.headers.get(b"x-request-id"):
            headers.append((b"x-request-id", echo))
        if answer.status != UNCHANGED:
            headers.append((b"content-type", answer.media))
            if isinstance(answer.body, bytes):
                headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if isinstance(answer.body, bytes):
            body = b"" if request.method == "HEAD" else answer.body
            await send({"type": "http.response.body", "body": body})
            return len(body)
        size = 0
        for piece in answer.body if request.method != "HEAD" else ():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            size += len(piece)
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
        return size


def request_of(scope: Scope) -> Request:
    """What a scope asks for; below where an application is mounted."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = below(raw.decode("latin-1").partition("?")[0], scope.get("root_path", ""), scope["path"])
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in HEADERS:
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, time.monotonic())


def below(raw: str, root: str, path: str) -> str:
    """``raw``, which is a path as it was sent, without where the application is mounted.

    ``root`` and ``path`` are decoded. Litestar tells no root, and ends the path with a slash.
    """
    slashes = [place.start() for place in islice(re.finditer("/", raw), DEEPEST)]
    if root:
        return raw[next((end for end in [*slashes, len(raw)] if unquote(raw[:end]) == root), 0) :]
    if raw == path or unquote(raw) == path:
        return raw
    return raw[next((start for start in slashes if unquote(raw[start:]).rstrip("/") == path.rstrip("/")), 0) :]


async def parts_of(receive: Receive) -> AsyncIterator[bytes]:
    """The body, as it comes. Raises `Problem` where the client goes away."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the client is gone")
        yield message.get("body", b"")
        more = message.get("more_body", False)
