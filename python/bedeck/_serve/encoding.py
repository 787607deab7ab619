"""Answers in fewer bytes, where the client takes them so: gzip (RFC 1952), and zstd (RFC 8878) where Python has it."""

import importlib
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from bedeck._serve.api import Job
from bedeck._serve.message import Answer, Request

__all__ = ["encoded"]

LEVEL: Final = 1  # more takes many times as long, and gives little
GZIP: Final = 16 + zlib.MAX_WBITS  # the format, to zlib
VARY: Final = (b"vary", b"accept-encoding")
PIECE: Final = 32 << 10  # bytes that are compressed in one go: some hundred microseconds
REFUSED: Final = re.compile(rb"q[ \t]*=[ \t]*0(\.0*)?")  # a weight of nothing (RFC 9110, 12.4.2)


class Packer(Protocol):
    """What makes bytes fewer."""

    def pack(self, data: bytes) -> bytes:
        """All of ``data``, so that it can be unpacked when that is there."""

    def end(self) -> bytes:
        """What ends it."""


class Gzip:
    """A stream of gzip."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)

    def pack(self, data: bytes) -> bytes:
        """All of ``data``, so that it can be unpacked when that is there."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What ends it."""
        return self._stream.flush()


def encoded(begun: Answer | Job, request: Request, least: int) -> Answer | Job:
    """What was ``begun``, with a body of at least ``least`` bytes compressed if the client takes one of `ENCODINGS`.

    That is done piece by piece, between which others have their turn. What is sent while it is made is compressed while
    it is made, however long it becomes; what is not compressed when its time is over is sent as it is.
    """
    if isinstance(begun, Answer) and isinstance(begun.body, bytes) and len(begun.body) < least:
        begun.headers = (*begun.headers, VARY)
        return begun
    return _encoded(begun, request, least)


def _encoded(begun: Answer | Job, request: Request, least: int) -> Job:
    answer = begun if isinstance(begun, Answer) else (yield from begun)
    answer.headers = (*answer.headers, VARY)
    wanted, body = _wanted(request.headers.get(b"accept-encoding", b"")), answer.body
    if wanted is None or (isinstance(body, bytes) and len(body) < least):
        return answer
    packer = ENCODINGS[wanted]()
    if isinstance(body, bytes):
        pieces = []
        for piece in _packed([body], packer):
            pieces.append(piece)
            if len(body) > PIECE:
                yield
                if time.monotonic() > request.deadline:
                    return answer
        answer.body = b"".join(pieces)
    else:
        answer.body = _packed(body, packer)
    answer.headers = (*answer.headers, (b"content-encoding", wanted))
    return answer


def _packed(parts: Iterable[bytes], packer: Packer) -> Iterator[bytes]:
    for part in parts:
        for start in range(0, len(part), PIECE):
            yield packer.pack(part[start : start + PIECE])
    yield packer.end()


def _wanted(accepted: bytes) -> bytes | None:
    taken = {}
    for part in accepted.lower().split(b","):
        name, *parameters = [of.strip() for of in part.split(b";")]
        taken[name] = not any(map(REFUSED.fullmatch, parameters))
    return next((name for name in ENCODINGS if taken.get(name, taken.get(b"*", False))), None)


def _encodings() -> dict[bytes, Callable[[], Packer]]:
    try:
        zstd = importlib.import_module("compression.zstd")  # from Python 3.14 on
    except ModuleNotFoundError:
        return {b"gzip": Gzip}

    class Zstd:
        """A frame of zstd."""

        def __init__(self) -> None:
            self._frame = zstd.ZstdCompressor(LEVEL)

        def pack(self, data: bytes) -> bytes:
            """All of ``data``, so that it can be unpacked when that is there."""
            packed: bytes = self._frame.compress(data, self._frame.FLUSH_BLOCK)
            return packed

        def end(self) -> bytes:
            """What ends it."""
            rest: bytes = self._frame.flush()
            return rest

    return {b"zstd": Zstd, b"gzip": Gzip}


ENCODINGS: Final = _encodings()
