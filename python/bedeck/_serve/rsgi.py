"""The service as an RSGI application (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md)."""

import asyncio
import time
from typing import Any
from urllib.parse import quote

from bedeck._serve.desk import Desk
from bedeck._serve.message import HEADERS, UNCHANGED, Answer, Request
from bedeck._serve.turn import answered, body_within

__all__ = ["Exchange"]


class Exchange:
    """What a server calls for each request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401 - RSGI has no types to import
        """Answer one request."""
        request = request_of(scope)
        answer, route = await answered(self._desk, request, lambda most: body_within(protocol, most))
        size = await self._send(answer, request, protocol)
        self._desk.answered(request, route, answer.status, size)

    async def _send(self, answer: Answer, request: Request, protocol: Any) -> int:  # noqa: ANN401
        headers = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
        if answer.status == UNCHANGED:
            protocol.response_empty(UNCHANGED, headers)
            return 0
        headers.append(("content-type", answer.media.decode()))
        if echo := request.headers.get(b"x-request-id"):
            headers.append(("x-request-id", echo.decode("latin-1")))
        if isinstance(answer.body, bytes):
            if request.method == "HEAD":
                protocol.response_empty(answer.status, [*headers, ("content-length", str(len(answer.body)))])
                return 0
            protocol.response_bytes(answer.status, headers, answer.body)
            return len(answer.body)
        if request.method == "HEAD":
            protocol.response_empty(answer.status, headers)
            return 0
        stream, size = protocol.response_stream(answer.status, headers), 0
        for piece in answer.body:
            await stream.send_bytes(piece)
            size += len(piece)
            await asyncio.sleep(0)
        return size


def request_of(scope: Any) -> Request:  # noqa: ANN401 - RSGI has no types to import
    """What a scope asks for. Its path comes decoded: a slash in a key, or what is no UTF-8, cannot be told from it."""
    names = [name.decode() for name in HEADERS]
    found = {name.encode(): scope.headers.get(name) for name in names if name in scope.headers}
    headers = {name: value.encode("latin-1") for name, value in found.items()}
    return Request(
        scope.method, quote(scope.path, safe="/:@!$&'()*+,;=~"), scope.query_string, headers, time.monotonic()
    )
