"""Where a catalogue's versions come from: the folder of a store, or a cache in front of one that is elsewhere."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from bedeck.errors import StoreError
from bedeck.log import Entry, Ref
from bedeck.state import Files
from bedeck.store import LocalStore

__all__ = ["Folder", "Origin"]


class Origin(Protocol):
    """What brings the versions of a store to this host. Any number of threads and processes may use one."""

    @property
    def place(self) -> str:
        """The store, for messages: a path or a URL."""
        ...

    @property
    def downloaded(self) -> int:
        """Bytes that this process has fetched."""
        ...

    def heard(self) -> float | None:
        """Seconds since a process that asks the store for this one too had an answer; `None` where this one asks."""
        ...

    def head(self) -> Entry | None:
        """The newest entry of the log, `None` where there is none yet. Raises `StoreError`."""
        ...

    def resolve(self, version: int) -> Ref:
        """Where the manifest of a version is. Raises `NotFoundError`, `StoreError`."""
        ...

    def manifest(self, ref: Ref) -> Mapping[str, Any]:
        """What a version consists of, named as it should be. Raises `DamagedError`, `FormatError`, `StoreError`."""
        ...

    def bring(self, ref: Ref, manifest: Mapping[str, Any]) -> Files:
        """Have the files of a version here, each in its full size. Raises `DamagedError`, `StoreError`."""
        ...

    def mend(self, ref: Ref, manifest: Mapping[str, Any]) -> Files | None:
        """The same where those that are here are damaged; `None` where there are no others. Raises the same."""
        ...

    def settle(self, entry: Entry) -> None:
        """Remember that what ``entry`` has served is here, and whole. Raises `StoreError`."""
        ...

    def kept(self, version: int | None) -> Iterator[tuple[Ref, Entry | None]]:
        """What may be served where the store is no help, best first: ``version``, or what entries had served."""
        ...


class Folder:
    """A store in a local folder, whose files are mapped where they lie."""

    downloaded = 0

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    @property
    def place(self) -> str:
        """The path of the folder."""
        return self._store.place

    def heard(self) -> None:
        """This process asks."""

    def head(self) -> Entry | None:
        """The newest entry of the log, in the same time however long that is."""
        there = (self._store.path / "log").is_dir()
        return self._store.log.head() if there else self._store.head()

    def resolve(self, version: int) -> Ref:
        """Where the manifest of a version is."""
        return self._store.resolve(version)

    def manifest(self, ref: Ref) -> Mapping[str, Any]:
        """What a version consists of."""
        manifest = self._store.manifest(ref)
        self._store.named(manifest)
        return manifest

    def bring(self, ref: Ref, manifest: Mapping[str, Any]) -> Files:
        """See that the files of a version are there."""
        self._store.measure(manifest)
        return Files(self.place, self._store.path, ref, manifest)

    def mend(self, ref: Ref, manifest: Mapping[str, Any]) -> None:
        """There are no others."""

    def settle(self, entry: Entry) -> None:
        """Nothing: it is in the log."""

    def kept(self, version: int | None) -> Iterator[tuple[Ref, Entry | None]]:
        """What the entries of the log had served."""
        return newest_first(self._store) if version is None else iter(())


def newest_first(store: LocalStore) -> Iterator[tuple[Ref, Entry]]:
    """What the entries of the log had served, each version once; those that cannot be read are passed over."""
    seen: set[Ref] = set()
    with suppress(StoreError):
        for number in reversed(store.entries()):
            with suppress(StoreError):
                entry = store.entry(number)
                if entry.served not in seen:
                    seen.add(entry.served)
                    yield entry.served, entry
