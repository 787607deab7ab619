"""Named bytes in S3, GCS or Azure. Needs obstore: ``pip install obstore``."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bedeck._objects.local import LARGEST
from bedeck.errors import DamagedError, NotFoundError, StoreError
from bedeck.objects import Stored

try:
    import obstore
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        NotModifiedError,
        PermissionDeniedError,
        UnauthenticatedError,
    )
    from obstore.store import AzureStore, GCSStore, S3Store, from_url
except ImportError as missing:
    raise ImportError("stores at a URL need obstore: pip install obstore") from missing

if TYPE_CHECKING:
    from obstore import GetResult

__all__ = ["RemoteObjects"]

Client = S3Store | GCSStore | AzureStore

URL: Final = re.compile(r"(s3|gs|az)://[^/?#@]+(/[^/?#]+)*")
PART: Final = 8 << 20  # bytes of a part of an upload; more where there would be too many
MOST_PARTS: Final = 5_000  # the services take 10,000 and more
LISTED: Final = 1_000
RETRY: Final = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}


class RemoteObjects:
    """The objects below a URL, as `bedeck.objects.Objects`: ``s3://bucket/prefix``, ``gs://...``, ``az://container/...``.

    ``options`` are those of `obstore.store.from_url`, as ``endpoint=`` and ``region=``; they go before what is in the
    environment. What the service does not answer is asked again for up to a minute. `create` is a conditional write,
    ``If-None-Match: *``, which some servers ignore: `bedeck.store.Store.check_conditions` finds out.
    """

    # The process that asked first. The threads that do the work are not in its children, who would wait for ever.
    _asking: int | None = None

    def __init__(self, url: str, **options: Any) -> None:  # noqa: ANN401 - whatever obstore takes
        if not URL.fullmatch(url.rstrip("/")):
            raise StoreError(f"{url}: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix is expected")
        self._url = url.rstrip("/")
        options["retry_config"] = {**RETRY, **options.get("retry_config", {})}
        try:
            self._client: Client = from_url(self._url, **options)  # type: ignore[assignment] # by the URL
        except (BaseError, TypeError, ValueError) as error:
            raise StoreError(f"cannot use {url}: {told(error)}") from error

    def __repr__(self) -> str:
        return f"RemoteObjects({self._url!r})"

    @property
    def place(self) -> str:
        """The URL, without a slash at its end."""
        return self._url

    @property
    def usable(self) -> bool:
        """Whether no process that this one was forked from has asked for anything."""
        return RemoteObjects._asking in {None, os.getpid()}

    def get(self, name: str) -> bytes:
        """All bytes of an object, which has to be below a GiB: `DamagedError`."""
        with self._asked("read", name):
            return self._whole(name, obstore.get(self._client, name))

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; fewer where the object ends before."""
        with self._asked("read", name):
            try:
                return bytes(obstore.get_range(self._client, name, start=start, end=end)) if end > start else b""
            except BaseError:
                if start < obstore.head(self._client, name)["size"]:
                    raise
                return b""

    def changed(self, name: str, tag: str | None) -> tuple[bytes, str] | None:
        """The bytes of an object and its tag, or `None` where that is ``tag`` still."""
        with self._asked("read", name):
            try:
                found = obstore.get(self._client, name, options={"if_none_match": tag} if tag else {})
            except NotModifiedError:
                return None
            now = found.meta["e_tag"] or ""
            return None if now and now == tag else (self._whole(name, found), now)

    def size(self, name: str) -> int:
        """Bytes of an object."""
        with self._asked("read", name):
            return obstore.head(self._client, name)["size"]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names that start with ``prefix`` and come after ``after``, ascending. May be none."""
        with self._asked("list", prefix):
            pages = list(obstore.list(self._client, prefix, offset=after or None, chunk_size=LISTED))
        # Not every service starts where it is asked to.
        yield from sorted(found["path"] for page in pages for found in page if found["path"] > after)

    def scan(self, prefix: str) -> Iterator[Stored]:
        """The objects whose names start with ``prefix``, in no order. May be none."""
        with self._asked("list", prefix):
            pages = list(obstore.list(self._client, prefix, chunk_size=LISTED))
        for page in pages:
            yield from (Stored(found["path"], found["size"], found["last_modified"].timestamp()) for found in page)

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that is not there yet, whole and durably; `False`, and nothing changed, where it is there."""
        with self._asked("write", name):
            try:
                obstore.put(self._client, name, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def put(self, name: str, data: bytes) -> None:
        """Make or replace a small object, whole and durably."""
        with self._asked("write", name):
            obstore.put(self._client, name, data, use_multipart=False)

    def upload(self, name: str, file: Path) -> None:
        """Make or replace an object with what a file holds, in parts, whole and durably: readers see all or nothing."""
        try:
            size = file.stat().st_size
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error}") from error
        with self._asked("write", name):
            obstore.put(self._client, name, file, chunk_size=max(PART, -(-size // MOST_PARTS)))

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is removed already."""
        with suppress(NotFoundError), self._asked("remove", name):
            obstore.delete(self._client, name)

    def _whole(self, name: str, found: "GetResult") -> bytes:
        if found.meta["size"] > LARGEST:
            raise DamagedError(f"{self._url}/{name} is not of its size: restore it from a copy of the store")
        return bytes(found.bytes())

    @contextmanager
    def _asked(self, doing: str, name: str) -> Iterator[None]:
        if not self.usable:
            why = "this process was forked from one that used stores at URLs; open them after the fork, or spawn it"
            raise StoreError(f"cannot {doing} {name} of {self._url}: {why}")
        RemoteObjects._asking = os.getpid()
        try:
            yield
        except StoreError:
            raise
        except FileNotFoundError as error:
            if doing == "write":
                raise StoreError(f"cannot write {name} of {self._url}: {told(error)}") from error
            raise NotFoundError(f"there is no {name} in {self._url}") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            way_out = "check the credentials, and what they allow"
            raise StoreError(f"may not {doing} {name} of {self._url}: {told(error)}; {way_out}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"cannot {doing} {name} of {self._url}: {told(error)}") from error


def told(error: Exception) -> str:
    """What an error of obstore says, in one line, without what is for those who write it."""
    text = str(error).partition("\n\nDebug source")[0]
    text, _, body = text.partition("<?xml")
    said = [found[1] for tag in ("Code", "Message") if (found := re.search(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL))]
    return " ".join((text + ": ".join(said)).split())
