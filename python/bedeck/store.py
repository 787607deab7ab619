"""The store: blobs, manifests and the log that announces them, as in docs/format.md, 'The store'."""

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bedeck._core import blake3
from bedeck._objects.local import LocalObjects, make_folder, sync, telling
from bedeck.errors import BusyError, DamagedError, NotFoundError, StoreError
from bedeck.log import RECOVER, Entry, Log, Ref, canonical
from bedeck.manifest import blobs_of, manifest_name, read_manifest
from bedeck.objects import Objects
from bedeck.retention import GRACE, SCRATCH, Collected, VersionInfo, collect, versions

__all__ = ["Entry", "LocalStore", "Ref", "Store", "blobs_of"]

PARTS: Final = frozenset({"blobs", "log", "manifests", "tmp"})
URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
REBUILD: Final = "build again, restore it from a copy of the store, or open another version with version="


class Store:
    """A store over any `Objects`. Making one touches nothing; any number of threads and processes may read and write.

    Readers take no lock and see a version only once its entry is in the log. Writers take none either: each change is
    the next entry of the log, and of many that make the same entry, one does. What a method raises is a `StoreError`,
    most often one of its subclasses, and names the file and the way out. Blobs are told by name and size here; what is
    in them is for the core to check.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.log = Log(objects)
        self._checked = False

    @staticmethod
    def at(where: "str | os.PathLike[str] | Store", **options: Any) -> "Store":  # noqa: ANN401 - whatever obstore takes
        """The store at a path, or at a URL: ``file://``, ``s3://bucket/prefix``, ``gs://...``, ``az://container/...``.

        ``options`` are for object stores, as ``endpoint=`` and ``region=``: those of `obstore.store.from_url`. What is
        not among them comes from the environment, as docs/operations.md has it.
        """
        if isinstance(where, Store):
            return where
        found = URL.match(where) if isinstance(where, str) else None
        if not found:
            return LocalStore(where)
        if found[1].lower() == "file":
            return LocalStore(unquote(urlsplit(os.fspath(where)).path))
        from bedeck._objects.remote import RemoteObjects  # noqa: PLC0415 - needs obstore

        return Store(RemoteObjects(os.fspath(where), **options))

    @property
    def place(self) -> str:
        """Where it is: a path or a URL."""
        return self.objects.place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    # Reading

    def entries(self) -> list[int]:
        """The numbers of the log's entries, ascending. Files of other names are passed over; gaps show as gaps."""
        return self.log.numbers()

    def entry(self, number: int) -> Entry:
        """Entry ``number`` of the log, its checksum compared. Raises NotFoundError, DamagedError or FormatError."""
        return self.log.entry(number)

    def head(self) -> Entry | None:
        """The newest entry, which says what is announced and pinned; None where nothing is yet. Cheap to poll."""
        return self.log.head()

    def newest(self) -> Entry | None:
        """The newest entry as a listing shows it, which sees beyond gaps: for whoever is to make the next one."""
        return self.log.newest()

    def history(self) -> Iterator[Entry]:
        """The entries of the log, newest first, each read when it is asked for. Raises what it meets on its way."""
        for entry in self.log.back():
            if isinstance(entry, StoreError):
                raise entry
            yield entry

    def resolve(self, version: int | None = None) -> Ref:
        """What is served now, or ``version``: O(1) entries read, and for a version as many as are newer than it.

        An entry that cannot be read, or is missing between others, is an error only where the answer may lie in it.
        Raises NotFoundError where there is no store, no announcement, or no such version any more.
        """
        if version is not None:
            return self._find(version)
        head = self.head()
        if head is None:
            told = "its first build is still running, or did not finish"
            raise NotFoundError(f"nothing is announced in {self.place} yet: {told}")
        return head.served

    def manifest(self, ref: Ref) -> dict[str, Any]:
        """What a version consists of: its manifest, verified by hash.

        Raises DamagedError, also where it is missing, or FormatError (not a manifest, or one of a newer bedeck).
        """
        return read_manifest(self.objects, ref)

    def measure(self, manifest: Mapping[str, Any]) -> dict[str, int]:
        """The blobs that ``manifest`` names and their bytes, each found to be there in its full size.

        Raises DamagedError, naming the blob, or the type for which none is named.
        """
        return {name: self._measured(name, size) for name, size in self.named(manifest)}

    # Changing what is announced

    def prepare(self) -> None:
        """Make the store where there is none. Raises StoreError where it cannot be, or cannot announce safely."""
        self._check_once()

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """An empty folder to write the blobs of one build to, gone afterwards. Others may build meanwhile.

        Raises StoreError where the store cannot announce (`check_conditions`).
        """
        self._check_once()
        with tempfile.TemporaryDirectory(prefix="bedeck-") as folder:
            yield Path(folder)

    def announce(
        self,
        on: Entry | None,
        manifest: Mapping[str, Any],
        blobs: Mapping[str, Path],
        details: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Upload ``blobs``, write ``manifest``, and announce it, in this order.

        ``on`` is the newest entry from when the build began, or `None` where there was none: ``manifest["parent"]`` is
        the hash of what it announces, and ``manifest["version"]`` higher than any announced so far (ValueError).
        ``blobs`` are files by the names that the manifest gives them; others that it names have to be in the store.

        Once this returns, a power cut loses nothing of it; until then, whatever happens, what was announced still is.
        Raises BusyError where another build has announced something since ``on``, or somebody rolled back; pins do not
        matter.
        """
        if manifest["parent"] != (on.announced.manifest if on else None):
            raise ValueError(f"the manifest's parent is not what entry {on.number if on else 0} announces")
        if manifest["version"] <= self.highest(on):
            raise ValueError(f"version {manifest['version']} is not higher than those announced in {self.place}")
        self._check_once()
        named = self.named(manifest)
        data = canonical(manifest) + b"\n"
        ref = Ref(manifest["version"], blake3(data))
        self._unchanged(on)
        self._send(named, blobs, on)
        while True:
            head = self._unchanged(on)
            self.measure(manifest)
            self.objects.put(manifest_name(ref.manifest), data)
            entry = self.log.append(head, "announce", ref, head.pinned if head else None, details or {})
            if entry:
                return entry

    def highest(self, on: Entry | None) -> int:
        """The highest version that was announced up to the entry ``on``, 0 where there is none: the next is higher."""
        while on and on.kind != "announce":
            on = self.log.expect(on.number - 1) if on.number > 1 else None
        return on.announced.version if on else 0

    def pin(self, version: int, reason: str) -> Entry:
        """Have all consumers serve ``version``, whatever is announced, until it is unpinned.

        Raises NotFoundError where there is no such version any more, DamagedError where a file of it is missing.
        """
        return self._change("pin", reason, lambda head: (head.announced, self._kept(version)))

    def unpin(self, reason: str) -> Entry:
        """Have consumers serve what is announced again. Raises NotFoundError where nothing is pinned."""

        def change(head: Entry) -> tuple[Ref, Ref | None]:
            if head.pinned is None:
                raise NotFoundError(f"nothing is pinned in {self.place}: version {head.announced.version} is served")
            return head.announced, None

        return self._change("unpin", reason, change)

    def rollback(self, version: int, reason: str, *, instead: int | None = None) -> Entry:
        """Announce ``version`` again, instead of what is announced now; the next build goes on from there.

        With ``instead`` only where that version is announced: BusyError where somebody has announced another one.

        A pin stays: what is pinned is served until it is unpinned. Builds that are running find out when they announce.
        Raises NotFoundError where there is no such version any more, DamagedError where a file of it is missing, and
        StoreError where it is announced already.
        """

        def change(head: Entry) -> tuple[Ref, Ref | None]:
            if instead not in {None, head.announced.version}:
                raise BusyError(
                    f"version {head.announced.version} is what is announced in {self.place}, and no longer {instead}:"
                    " somebody else changed that"
                )
            if head.announced.version == version:
                raise StoreError(f"version {version} is what is announced in {self.place}: name another one")
            return self._kept(version), head.pinned

        return self._change("rollback", reason, change)

    def versions(self) -> list[VersionInfo]:
        """The versions that are kept, newest first: O(1) requests each, and one for each entry since the oldest."""
        return versions(self)

    def collect(self, keep: int, *, grace: float = GRACE, dry_run: bool = False) -> Collected:
        """Remove all but the newest ``keep`` announced versions, what is announced and what is pinned.

        First an entry of the log says which versions are dropped, so that nobody can pin them any more; then their
        blobs go, as far as no other version needs them, and their manifests. Blobs that no manifest names may be those
        of a build that is to announce them: they are kept for ``grace`` seconds. What is interrupted the next one ends.
        With ``dry_run`` nothing is changed. Raises DamagedError, and removes nothing, where it cannot be told what is
        needed.
        """
        if not dry_run:
            self._check_once()
        return collect(self, keep, grace, dry_run=dry_run)

    def check_conditions(self) -> None:
        """Make a scratch object twice; raises StoreError where the second one is made as well.

        Some servers ignore the condition that an object must not be there yet. On those, of two that announce at once
        both would believe that they did.
        """
        name = f"{SCRATCH}{secrets.token_hex(8)}"
        try:
            made = self.objects.create(name, b"first"), self.objects.create(name, b"second")
            found = self.objects.get(name)
        finally:
            with suppress(StoreError):
                self.objects.delete(name)
        if made != (True, False) or found != b"first":
            told = f"{self.place} makes an object that is there already, though it is asked not to"
            raise StoreError(f"{told}: nothing can be announced there safely; use a store that heeds If-None-Match: *")

    def _check_once(self) -> None:
        if not self._checked:
            self.check_conditions()
            self._checked = True

    def _find(self, version: int) -> Ref:
        unread: StoreError | None = None
        highest = 0
        for entry in self.log.back():
            if isinstance(entry, StoreError):
                unread = unread or entry
                continue
            if version in entry.dropped:
                told = f"version {version} is not kept in {self.place} any more"
                raise NotFoundError(f"{told}: {entry.by} dropped it at {entry.at}, as log entry {entry.number} says")
            for ref in (entry.announced, entry.pinned):
                if ref and ref.version == version:
                    return ref
            if entry.kind == "announce":
                highest = max(highest, entry.announced.version)
                if entry.announced.version < version:  # those before are lower still
                    break
        if unread:
            raise unread
        raise NotFoundError(f"no version {version} in {self.place}: the newest that was announced is version {highest}")

    def _kept(self, version: int) -> Ref:
        ref = self._find(version)
        self.measure(self.manifest(ref))
        return ref

    def named(self, manifest: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Name and bytes of each blob that ``manifest`` names. Raises DamagedError where one is not named properly."""
        try:
            return list(blobs_of(manifest))
        except DamagedError as error:
            raise DamagedError(f"version {manifest['version']} of {self.place}: {error}") from None

    def _measured(self, name: str, size: int) -> int:
        try:
            found = self.objects.size(f"blobs/{name}")
        except NotFoundError:
            raise DamagedError(f"blob {name} is missing from {self.place}/blobs: {REBUILD}") from None
        if found != size:
            raise DamagedError(f"blob {self.place}/blobs/{name} has {found} bytes instead of {size}: {REBUILD}")
        return size

    def _unchanged(self, on: Entry | None) -> Entry | None:
        """The newest entry; raises BusyError where one that came after ``on`` changed what is announced."""
        head = self.newest()
        first, last = (entry.number if entry else 0 for entry in (on, head))
        if last < first:
            raise DamagedError(f"log entry {first} of {self.place} is gone: {RECOVER}")
        if {self.log.expect(number).kind for number in range(first + 1, last + 1)} & {"announce", "rollback"}:
            raise BusyError(f"another build has announced a version in {self.place} since this one began: build again")
        return head

    def _send(self, named: list[tuple[str, int]], blobs: Mapping[str, Path], on: Entry | None) -> None:
        """Upload ``blobs``, but for those of what ``on`` announces, which are there and stay."""
        made = [(name, size) for name, size in named if name in blobs]
        for name, size in made:
            if (found := measured(blobs[name])) != size:
                raise DamagedError(f"blob {blobs[name]} has {found} bytes instead of {size}: {REBUILD}")
        stays = self._staying(on)
        for name, size in made:
            if name not in stays or not self._has(name, size):
                self.objects.upload(f"blobs/{name}", blobs[name])

    def _staying(self, on: Entry | None) -> set[str]:
        return {name for name, _ in blobs_of(self.manifest(on.announced))} if on else set()

    def _has(self, name: str, size: int) -> bool:
        try:
            return self.objects.size(f"blobs/{name}") == size
        except NotFoundError:
            return False

    def _change(self, kind: str, reason: str, change: Callable[[Entry], tuple[Ref, Ref | None]]) -> Entry:
        self._check_once()
        while True:
            head = self.newest()
            if head is None:
                raise NotFoundError(f"nothing is announced in {self.place} yet")
            try:
                announced, pinned = change(head)
            except DamagedError:
                if self.newest() == head:
                    raise
                continue  # what was looked at may have been dropped meanwhile
            if entry := self.log.append(head, kind, announced, pinned, {"reason": reason}):
                return entry


class LocalStore(Store):
    """A store in a local folder, whose blobs can be mapped where they lie."""

    objects: LocalObjects

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        super().__init__(LocalObjects(self.path))

    def entries(self) -> list[int]:
        """The numbers of the log's entries, ascending. Raises NotFoundError where there is no store."""
        self._check_there()
        return super().entries()

    def head(self) -> Entry | None:
        """The entry with the highest number; None where nothing is announced yet. Raises NotFoundError: no store."""
        return self.newest()  # a listing costs as little as the hint

    def newest(self) -> Entry | None:
        """The same."""
        self._check_there()
        return super().newest()

    def blobs(self, manifest: Mapping[str, Any]) -> dict[str, Path]:
        """The files that ``manifest`` names, by name, each found to be there in its full size: DamagedError."""
        return {name: self.path / "blobs" / name for name in self.measure(manifest)}

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """Hold the store for one build; gives an empty folder inside it to write the blobs to, gone afterwards.

        Makes the store where there is none, and clears what a killed build left. Raises BusyError at once where another
        build holds it, and StoreError where `path` is a folder of something else. The hold ends with the process.
        """
        self.prepare()
        with telling(f"prepare the store {self.path}"):
            lock = os.open(self.path / "tmp" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock(lock)
            folder = self.path / "tmp" / "build"
            with telling(f"prepare the store {self.path}"):
                if folder.exists():
                    shutil.rmtree(folder)
                folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os.ftruncate(lock, 0)
                # Closing alone would not do where a process forked meanwhile has the lock open too.
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def prepare(self) -> None:
        """Make the store where there is none. Raises StoreError where `path` is a folder of something else."""
        with telling(f"prepare the store {self.path}"):
            self._make()
            self.objects.sweep()

    def _check_once(self) -> None:
        """Nothing: a link never replaces a file."""

    def _staying(self, on: Entry | None) -> set[str]:  # noqa: ARG002
        """None: to move a file costs nothing, and heals a damaged one of the same name."""
        return set()

    def _find(self, version: int) -> Ref:
        self._check_there()
        return super()._find(version)

    def _check_there(self) -> None:
        if (self.path / "log").is_dir():
            return
        way_out = "check the path, or build one there"
        with suppress(OSError):
            if self.path.is_file() or self._is_foreign():
                what = "a file" if self.path.is_file() else "a folder of other files"
                way_out = f"it is {what}; check the path, or build into a new or an empty folder"
        raise NotFoundError(f"no bedeck store at {self.path}: {way_out}")

    def _is_foreign(self) -> bool:
        found = {path.name for path in self.path.iterdir()} - {"latest"}
        return not (found <= PARTS or found >= PARTS - {"tmp"})

    def _make(self) -> None:
        if self.path.is_file():
            raise StoreError(f"{self.path} is a file: name a new or an empty folder")
        make_folder(self.path)
        if self._is_foreign():
            raise StoreError(f"{self.path} holds other files and is no bedeck store: name a new or an empty folder")
        for part in sorted(PARTS):
            (self.path / part).mkdir(exist_ok=True)
        sync(self.path)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            holder = f"process {number}" if number else "a process just starting or ending"
            raise BusyError(f"{self.path} is held by {holder}: let that build end, then try again") from None
        with telling(f"prepare the store {self.path}"):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def measured(file: Path) -> int:
    """Bytes of a local file."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        raise DamagedError(f"blob {file.name} is missing from {file.parent}: {REBUILD}") from None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error}") from error
