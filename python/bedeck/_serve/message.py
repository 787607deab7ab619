"""What is asked over HTTP, and what is answered, whatever carries it."""

import json
from collections.abc import Iterator
from typing import Any, Final

from bedeck._serve.route import routed

__all__ = ["HEADERS", "REASONS", "UNCHANGED", "Answer", "Problem", "Request"]

# The headers that mean something here; others are not kept.
HEADERS: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"bedeck-timeout-ms",
        b"if-none-match",
        b"traceparent",
        b"tracestate",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-request-id",
    }
)

REASONS: Final = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

LONGEST: Final = 2000  # characters of what is told of a problem
UNCHANGED: Final = 304  # an answer that has no body
JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"


class Request:
    """One request: ``at`` is when all of it was there, on the clock of ``time.monotonic()``; until then its head.

    ``route`` and ``type`` are what `bedeck._serve.route.routed` makes of its path.
    """

    __slots__ = ("at", "body", "deadline", "headers", "method", "old", "path", "query", "route", "type")

    def __init__(self, method: str, path: str, query: str, headers: dict[bytes, bytes], at: float) -> None:
        self.method = method
        self.path = path  # not decoded: a key may hold a slash
        self.query = query
        self.headers = headers
        self.at = at
        self.old = False  # of HTTP/1.0
        self.body = b""
        self.deadline = at
        self.route, self.type = routed(method, path)

    def whole(self, now: float) -> None:
        """All of it is there: what its client took to send it is not what its answer takes."""
        self.deadline += now - self.at
        self.at = now


class Answer:
    """One answer. A ``body`` that is an iterator is sent piece by piece, while it is made."""

    __slots__ = ("body", "headers", "media", "status")

    def __init__(
        self,
        body: bytes | Iterator[bytes] = b"",
        status: int = 200,
        media: bytes = JSON,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.body = body
        self.status = status
        self.media = media
        self.headers = headers


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 has for it
    """What is wrong with a request, or with the service just now: a status, and what helps."""

    def __init__(
        self,
        status: int,
        detail: str,
        *headers: tuple[bytes, bytes],
        **members: Any,  # noqa: ANN401 - any JSON
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members

    def answer(self) -> Answer:
        """As problem+json (RFC 9457)."""
        told = {"detail": self.detail, **self.members}
        short = {name: _short(value) if isinstance(value, str) else value for name, value in told.items()}
        text = {"title": REASONS[self.status], "status": self.status, **short}
        return Answer(json.dumps(text).encode(), self.status, PROBLEM, self.headers)


def _short(text: str) -> str:
    """What was asked for comes back in what is told of it, however long that was."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
