"""Answers as bytes of HTTP/1.1 (RFC 9112)."""

import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from bedeck._serve.message import REASONS, UNCHANGED, Answer

__all__ = ["CONTINUE", "END", "REASON", "REFUSED", "chunk", "head", "whole"]

# Headers that change nothing in how a request is read, or what is said of it; then its length; then such headers again.
_PLAIN: Final = (
    rb"(?:(?!(?i:transfer-encoding|expect|connection|upgrade|x-request-id|content-length):)"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n)*+"
)
_WHOLE: Final = re.compile(
    rb"(?:POST|GET) /v1/[!-~]*+ HTTP/1\.1\r\n%b(?:(?i:content-length):[ \t]*+([0-9]{1,9})[ \t]*+\r\n%b)?\r\n"
    % (_PLAIN, _PLAIN)
)
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
END: Final = b"0\r\n\r\n"  # of a body in chunks

REASON: Final = (
    b'{"title": "Service Unavailable", "status": 503, "detail": "too many wait: ask again in a second, or elsewhere"}'
)
REFUSED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(REASON), REASON)
)


def whole(data: bytes) -> bool:
    """Whether ``data`` is one plain request of our own paths, all of it and no more: to say no without parsing it."""
    head = _WHOLE.match(data)
    return head is not None and head.end() + int(head[1] or 0) == len(data)


_begun: dict[tuple[int, bytes], bytes] = {}
_dated: tuple[int, bytes] = (0, b"")


def head(
    answer: Answer, length: int | None, connection: bytes | None, echo: bytes | None, *, chunked: bool = True
) -> bytes:
    """The head of an answer whose body has ``length`` bytes; where that is not known it comes in chunks, or ends it.

    ``connection`` is what becomes of the connection, if that is to be said; ``echo`` the id that the client has for
    its request.
    """
    begun = _begun.get((answer.status, answer.media))
    if begun is None:
        lines = f"HTTP/1.1 {answer.status} {REASONS[answer.status]}\r\n".encode()
        begun = lines if answer.status == UNCHANGED else b"%bcontent-type: %b\r\n" % (lines, answer.media)
        _begun[answer.status, answer.media] = begun
    lines = _lines(answer.headers)
    if connection:
        lines += b"connection: %b\r\n" % connection
    if echo:
        lines += b"x-request-id: %b\r\n" % echo
    if answer.status == UNCHANGED:
        return b"%b%b%b\r\n" % (begun, _date(), lines)
    if length is None:
        return b"%b%b%b%b\r\n" % (begun, _date(), lines, b"transfer-encoding: chunked\r\n" if chunked else b"")
    return b"%b%b%bcontent-length: %d\r\n\r\n" % (begun, _date(), lines, length)


@lru_cache(64)
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def chunk(data: bytes) -> bytes:
    """A part of a body in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _date() -> bytes:
    global _dated  # noqa: PLW0603 - as of this second
    now = int(time.time())
    if _dated[0] != now:
        _dated = now, b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return _dated[1]
