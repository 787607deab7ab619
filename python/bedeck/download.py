"""Downloads: a blob of a store on its way into a file of this host, in pieces that are verified one by one."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bedeck._core import blake3
from bedeck._objects.local import sync, telling
from bedeck.errors import DamagedError, NotFoundError
from bedeck.objects import Objects

__all__ = ["Download"]

CHUNK: Final = 4 << 20
THREADS: Final = 8  # requests at a time, each for a chunk: that is also the memory it takes
TRIES: Final = 3  # for a chunk that arrives damaged
HUGE: Final = 16 << 20  # bytes from which on a file is worth being read back into huge pages

log = logging.getLogger("bedeck")


@dataclass(frozen=True, slots=True)
class Piece:
    """Chunks that follow each other in a blob, about 4 MiB: from ``start`` on, the length and hash of each."""

    start: int
    chunks: tuple[tuple[int, str], ...]

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + sum(length for length, _ in self.chunks)

    def is_sound(self, data: bytes) -> bool:
        """Whether ``data`` is what belongs here."""
        at = 0
        for length, expected in self.chunks:
            if blake3(data[at : at + length]) != expected:
                return False
            at += length
        return at == len(data)


class Download:
    """Has the blob that a manifest describes as ``blob`` at ``path``, whole, durably, and each byte verified.

    What was begun at ``part``, by whomever, goes on from the chunks that are right; those of a file that is at
    ``path`` already are taken as well, and it stays untouched if they all are. ``tell`` is called with the bytes of
    each answer. One process at a time may run it.
    """

    def __init__(
        self, objects: Objects, blob: Mapping[str, Any], part: Path, path: Path, tell: Callable[[int], object]
    ) -> None:
        self._objects = objects
        self._blob = blob
        self._part = part
        self._path = path
        self._tell = tell
        self._pieces = _pieces(blob, objects.place)
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it.

        Raises `DamagedError` where the store does not have these bytes, and `StoreError` where it does not answer, or
        the disk has no room.
        """
        with telling(f"keep blob {self._path}"):
            old = _opened(self._path, os.O_RDONLY)
            try:
                if old is not None and self._is_whole(old):
                    return
                self._fill(old)
            finally:
                if old is not None:
                    os.close(old)
            self._part.replace(self._path)
            sync(self._path.parent)

    def _is_whole(self, old: int) -> bool:
        size = os.fstat(old).st_size
        return size == self._blob["size"] and all(piece.is_sound(_read(old, piece)) for piece in self._pieces)

    def _fill(self, old: int | None) -> None:
        part = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            size = self._blob["size"]
            begun = os.fstat(part).st_size > 0
            os.ftruncate(part, size)
            _reserve(part, size)
            self._share([source for source in (part if begun else None, old) if source is not None], part)
            os.fsync(part)
            if size >= HUGE and hasattr(os, "posix_fadvise"):
                # It is read back, to be verified once more, by whoever maps it.
                os.posix_fadvise(part, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(part)

    def _share(self, sources: list[int], part: int) -> None:
        """Work on all pieces, a few threads at once."""
        pieces = iter(self._pieces)

        def work() -> None:
            try:
                while self._error is None:
                    with self._lock:
                        piece = next(pieces, None)
                    if piece is None:
                        return
                    self._complete(piece, sources, part)
            except BaseException as error:  # noqa: BLE001 - raised below, where somebody waits for it
                self._error = self._error or error

        threads = [threading.Thread(target=work, name="bedeck-download", daemon=True) for _ in range(THREADS)]
        started = [thread for thread in threads[: len(self._pieces)] if _is_started(thread)]
        try:
            if not started:
                work()
            for thread in started:
                thread.join()
        except BaseException as error:
            self._error = error
            for thread in started:
                thread.join()
            raise
        if self._error is not None:
            raise self._error

    def _complete(self, piece: Piece, sources: list[int], part: int) -> None:
        for source in sources:
            data = _read(source, piece)
            if piece.is_sound(data):
                if source != part:
                    _write(part, piece, data)
                return
        _write(part, piece, self._ask(piece))

    def _ask(self, piece: Piece) -> bytes:
        name, place = self._blob["name"], self._objects.place
        for _ in range(TRIES):
            try:
                data = self._objects.get_range(f"blobs/{name}", piece.start, piece.end)
            except NotFoundError:
                told = f"blob {name} is missing from {place}/blobs"
                raise DamagedError(
                    f"{told}: restore it from a copy of the store, or announce another version"
                ) from None
            with self._lock:
                self._tell(len(data))
            if piece.is_sound(data):
                return data
            log.warning("blob %s: bytes %d..%d came damaged from %s", name, piece.start, piece.end, place)
        told = f"blob {place}/blobs/{name}: bytes {piece.start}..{piece.end} do not match their checksums"
        raise DamagedError(f"{told}: restore it from a copy of the store, or announce another version")


def _pieces(blob: Mapping[str, Any], place: str) -> list[Piece]:
    """All of a blob, in pieces; DamagedError where the manifest does not describe it as it should."""
    pieces: list[Piece] = []
    chunks: list[tuple[int, str]] = []
    start = at = 0
    for length, hashed in _chunks(blob, place):
        if chunks and at + length - start > CHUNK:
            pieces.append(Piece(start, tuple(chunks)))
            start, chunks = at, []
        chunks.append((length, hashed))
        at += length
    if chunks:
        pieces.append(Piece(start, tuple(chunks)))
    if at != blob["size"]:
        raise DamagedError(f"the manifest's sections of blob {blob['name']} of {place} do not cover it: build again")
    return pieces


def _chunks(blob: Mapping[str, Any], place: str) -> Iterator[tuple[int, str]]:
    for section in blob.get("sections", ()):
        match section:
            case {"length": int(length), "chunks": list(hashes)} if len(hashes) == -(-length // CHUNK):
                for start, hashed in zip(range(0, length, CHUNK), hashes, strict=True):
                    yield min(CHUNK, length - start), hashed
            case _:
                told = f"the manifest's list of chunks of blob {blob['name']} of {place} does not fit"
                raise DamagedError(f"{told}: build again")


def _reserve(part: int, size: int) -> None:
    """Have a full disk be told now, and not after gigabytes."""
    reserve = getattr(os, "posix_fallocate", None)  # not on macOS
    try:
        if reserve and size:
            reserve(part, 0, size)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:  # not all file systems can
            raise


def _opened(path: Path, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _is_started(thread: threading.Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:  # the system has no threads to give
        return False
    return True


def _read(source: int, piece: Piece) -> bytes:
    """The bytes at the place of ``piece``; fewer where the file ends before, or the disk fails there."""
    try:
        return os.pread(source, piece.end - piece.start, piece.start)
    except OSError:
        return b""


def _write(part: int, piece: Piece, data: bytes) -> None:
    at = piece.start
    while data:
        written = os.pwrite(part, data, at)
        at, data = at + written, data[written:]
