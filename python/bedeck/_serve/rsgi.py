"""The service as an RSGI application (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md)."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final, Protocol, cast
from urllib.parse import quote

from bedeck._serve.api import problem_of
from bedeck._serve.desk import Desk
from bedeck._serve.message import HEADERS, UNCHANGED, Answer, Problem, Request
from bedeck._serve.turn import answered, body_within
from bedeck.errors import Error

__all__ = ["Exchange", "Scope", "Wire"]

NAMES: Final = [name.decode() for name in HEADERS]


class Named(Protocol):
    """Headers of a request, which RSGI has no types to import for."""

    def __contains__(self, name: object, /) -> bool: ...

    def get_all(self, name: str, /) -> list[str]: ...


class Scope(Protocol):
    """What a request asks for."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def query_string(self) -> str: ...

    @property
    def headers(self) -> Named: ...


class Wire(Protocol):
    """A request's body, in parts, and where its answer goes."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None: ...


class Exchange:
    """What a server calls for each request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, protocol: Wire) -> None:
        """Answer one request."""
        request = request_of(scope)
        answer, route = await answered(self._desk, request, lambda most: body_within(protocol, most))
        answer = await complete(answer, request)
        size = self._send(answer, request, protocol)
        self._desk.answered(request, route, answer.status, size)

    def _send(self, answer: Answer, request: Request, protocol: Wire) -> int:
        headers = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
        if echo := request.headers.get(b"x-request-id"):
            headers.append(("x-request-id", echo.decode("latin-1")))
        if answer.status == UNCHANGED:
            protocol.response_empty(UNCHANGED, headers)
            return 0
        headers.append(("content-type", answer.media.decode()))
        if request.method == "HEAD":
            length = [("content-length", str(len(answer.body)))] if isinstance(answer.body, bytes) else []
            protocol.response_empty(answer.status, headers + length)
            return 0
        body = cast("bytes", answer.body)
        protocol.response_bytes(answer.status, headers, body)
        return len(body)


async def complete(answer: Answer, request: Request) -> Answer:
    """The answer with all of its body: in RSGI nothing tells a client that a body has ended too soon."""
    if isinstance(answer.body, bytes) or request.method == "HEAD":
        return answer
    pieces = []
    try:
        for piece in answer.body:
            pieces.append(piece)
            await asyncio.sleep(0)
    except Error as error:
        return problem_of(error).answer()
    except Problem as problem:
        return problem.answer()
    return Answer(b"".join(pieces), answer.status, answer.media, answer.headers)


def request_of(scope: Scope) -> Request:
    """What a scope asks for. Its path comes decoded: a slash in a key, or what is no UTF-8, cannot be told from it."""
    found = {name: scope.headers.get_all(name) for name in NAMES if name in scope.headers}
    headers = {name.encode(): ", ".join(values).encode("latin-1") for name, values in found.items() if values}
    return Request(
        scope.method, quote(scope.path, safe="/:@!$&'()*+,;=~"), scope.query_string, headers, time.monotonic()
    )
