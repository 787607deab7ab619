"""Answers in fewer bytes, where the client takes them so: gzip (RFC 1952), and zstd (RFC 8878) where Python has it."""

import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from bedeck._serve.message import Answer

__all__ = ["encoded"]

LEVEL: Final = 1  # more takes many times as long, and gives little
GZIP: Final = 16 + zlib.MAX_WBITS  # the format, to zlib
VARY: Final = (b"vary", b"accept-encoding")


class Packer(Protocol):
    """What makes bytes fewer."""

    def compress(self, data: bytes, /) -> bytes:
        """What is ready of what was given so far."""

    def flush(self) -> bytes:
        """The rest."""


def encoded(answer: Answer, accepted: bytes, least: int) -> Answer:
    """``answer``, its body compressed where that is at least ``least`` bytes and ``accepted`` has one of `ENCODINGS`.

    A body that is sent while it is made is compressed while it is made, however long it becomes.
    """
    body = answer.body
    answer.headers = (*answer.headers, VARY)
    wanted = _wanted(accepted) if not isinstance(body, bytes) or len(body) >= least else None
    if wanted is not None:
        packer = ENCODINGS[wanted]()
        answer.body = b"".join(_packed([body], packer)) if isinstance(body, bytes) else _packed(body, packer)
        answer.headers = (*answer.headers, (b"content-encoding", wanted))
    return answer


def _packed(parts: Iterable[bytes], packer: Packer) -> Iterator[bytes]:
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _wanted(accepted: bytes) -> bytes | None:
    taken = {}
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        taken[name.strip()] = weight.replace(b" ", b"") not in {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}
    return next((name for name in ENCODINGS if taken.get(name, taken.get(b"*", False))), None)


def _encodings() -> dict[bytes, Callable[[], Packer]]:
    found: dict[bytes, Callable[[], Packer]] = {}
    try:
        zstd = importlib.import_module("compression.zstd")  # from Python 3.14 on
    except ModuleNotFoundError:
        pass
    else:
        found[b"zstd"] = lambda: zstd.ZstdCompressor(LEVEL)
    return {**found, b"gzip": lambda: zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)}


ENCODINGS: Final = _encodings()
