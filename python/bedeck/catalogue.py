"""Reading a catalogue: the announced version of a store, its types, and lists decorated from them."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bedeck import uris as full
from bedeck.build import cores
from bedeck.cache import Cache
from bedeck.follow import Follower
from bedeck.memory import Warmed, memory_of
from bedeck.origin import Folder
from bedeck.records import Missing, Records, Selection, View, chosen, known
from bedeck.refresh import Refresher
from bedeck.state import State, Verify
from bedeck.status import Event, Status
from bedeck.store import LocalStore, Store

__all__ = ["Catalogue", "open"]


def open(  # noqa: A001, PLR0913 - bedeck.open, as gzip.open; each but the first has its default
    store: str | os.PathLike[str] | Store,
    *,
    version: int | None = None,
    verify: Verify = "once",
    follow: bool = False,
    wait: float | None = None,
    poll: float = 5.0,
    cache: str | os.PathLike[str] | None = None,
    keep: int = 2,
    overcommit: bool = False,
) -> "Catalogue":
    """Open what is served of the store at ``store``, a path or a URL: what is announced or pinned; or ``version``.

    Every byte is checked against its checksum before anything is answered from it; by that the files are read into
    the page cache. With ``verify="once"`` a file that was checked since this host started, and has not changed, is
    not checked again: opening then takes milliseconds, and ``warm()`` maps the pages into this process. ``"always"``
    checks in any case.

    With ``follow=True`` a thread looks at the store every ``poll`` seconds, more or less, and moves the catalogue to
    what is served then; ``refresh()`` does so at once, with or without. ``wait`` is how many seconds to wait for a
    first version, where there is none yet.

    Files of a store that is no local folder lie in the folder ``cache``, or below ``$XDG_CACHE_HOME``; so do those of
    a local one where ``cache`` is named. What only versions before the newest ``keep`` of them need is removed. From
    there, and with ``follow=True`` from a local store too, the newest version that is whole is served where what should
    be cannot be had: `Catalogue.status` tells.

    A version that takes more memory than there is, together with what else this process has open, opens with a
    `MemoryWarning`, before it is read. A catalogue does not move to such a version, unless with ``overcommit=True``.

    Raises `NotFoundError`, `DamagedError`, `FormatError`, `StoreError`.
    """
    if verify not in {"once", "always"}:
        raise ValueError(f'verify={verify!r}: expected "once" or "always"')
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise TypeError(f"version={version!r}: a whole number is expected, or None for what is served")
    if follow and version is not None:
        raise ValueError(f"version={version} stays as it is: leave out either version= or follow=True")
    if not poll > 0:
        raise ValueError(f"poll={poll}: a number of seconds above 0 is expected")
    if keep < 1:
        raise ValueError(f"keep={keep}: a number of versions is expected, at least 1")
    found = Store.at(store)
    if isinstance(found, LocalStore):
        found = LocalStore(found.path.absolute())
    folder = None if cache is None else Path(cache).absolute()
    origin = Folder(found) if isinstance(found, LocalStore) and folder is None else Cache(found, folder, keep)
    refresher = Refresher(origin, verify, poll, overcommit=overcommit)
    state = refresher.begin(version, wait or 0, forgiving=follow or isinstance(origin, Cache))
    again = {"version": version, "verify": verify, "follow": follow, "wait": wait, "poll": poll, "cache": folder}
    return Catalogue(state, refresher, (found, again | {"keep": keep, "overcommit": overcommit}))


class Catalogue:
    """All types of a store, in the version that is served. `bedeck.open` makes one.

    ``catalogue[name]`` is a type. Any number of threads may use a catalogue at once, without locks; a forked process
    goes on using it; a pickled one opens the same store again where it is read. Closing is not needed: files stay
    mapped until the last object made from them is gone, and nothing follows for a catalogue that is gone.
    """

    def __init__(self, state: State, refresher: Refresher, opened: tuple[Store, Mapping[str, Any]]) -> None:
        self.state = state
        self._refresher = refresher
        self._opened = opened
        self._follower = Follower(self, refresher, opened[1]["poll"]) if opened[1]["follow"] else None

    @property
    def path(self) -> Path:
        """The folder that the files of the version lie in: the store, or a cache of it."""
        return self.state.files.folder

    @property
    def version(self) -> int:
        """The version that is served."""
        return self.state.version

    @property
    def types(self) -> list[str]:
        """The names of the types, ascending."""
        return self.state.core.types()

    def __getitem__(self, name: str) -> Records:
        """The type ``name``. Raises `SelectionError` where there is none."""
        return Records(self, known(self.state, name))

    def __contains__(self, name: object) -> bool:
        return name in self.types

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def decorate(
        self,
        uris: Iterable[str],
        fields: Mapping[str, Sequence[str] | None],
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> list[Any]:
        """A dict for each of ``uris``, of several types and from one version, in order, duplicates included.

        ``fields`` has the types that are asked for, and what of them, as `Records.decorate` takes it. A URI is an id as
        the ``uri`` of its type has it, as in ``spotify:track:4uLU6hMCjMI75M1A2tKUQC``; one of any other type, or of
        none, is missing. Linear in the length of the list.

        Raises `SelectionError` where a type has no ``uri``, or keys of bytes; the rest as `Records.decorate`.
        """
        return full.decorate(self.state, uris, {of: chosen(names) for of, names in fields.items()}, missing, deadline)

    def decorate_json(
        self,
        uris: Iterable[str],
        fields: Mapping[str, Sequence[str] | None],
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> bytes:
        """The same as one JSON array."""
        return full.decorate_json(
            self.state, uris, {of: chosen(names) for of, names in fields.items()}, missing, deadline
        )

    def view(self) -> View:
        """One version for several calls: ``with catalogue.view() as view: view["track"].decorate(...)``."""
        return View(self.state)

    def warm(self, progress: Callable[[int, int], object] | None = None, *, lock: bool = False) -> Warmed:
        """Read every page into the page cache and map it into this process, so that look-ups meet no page fault.

        Takes as long as the disk takes. ``progress`` is called with bytes done and bytes in all, for 64 MiB at a time;
        what it raises, and Ctrl-C, end the work. Pages may be evicted again where memory is short; ``lock=True`` has
        the system keep them (mlock), for this process and until the version is unmapped. Children do not inherit that.

        Where not all can be locked, nothing is: a `MemoryWarning` says why and what helps, the catalogue is warm, and
        the answer's ``locked`` is 0. Nothing is locked either that does not fit the memory there is, since the system
        would end processes; `MemoryWarning` tells of a misfit in any case, once.

        Raises `StoreError` where a page cannot be read.
        """
        return self.state.warm(progress, lock=lock)

    def refresh(self) -> bool:
        """Look at the store now, and move to what is served; whether the version changed.

        That is: download what is not here, verify all of it, open it, compile all selections that are in use against
        it, warm and lock it as much as `warm` was asked to before, and then serve it, all types at once. Calls that
        have begun, views and records stay with the version they are of. A version that breaks a selection that is in
        use is not taken: `SelectionError`; nor is one that does not fit into memory beside this one: `MemoryWarning`.
        Whatever is raised, the catalogue is as it was. One that was opened with ``version=`` stays at it.

        Raises `NotFoundError`, `DamagedError`, `FormatError`, `StoreError`, `SelectionError`.
        """
        return self._refresher.refresh(self)

    def status(self) -> Status:
        """How the catalogue follows its store. Takes milliseconds for each gigabyte: not for every request."""
        following = self._follower is not None and self._follower.running
        return self._refresher.journal.status(self.state, self._refresher.origin, following=following)

    def listen(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have ``callback`` called with an `Event` for each refresh that changed something, failed or was refused.

        In the thread that refreshes, after the event. What it raises is logged. What is given ends that.
        """
        return self._refresher.listen(callback)

    def close(self) -> None:
        """Follow no more; what is served stays. A refresh that has begun still ends."""
        if self._follower is not None:
            self._follower.stop()

    def verify(self) -> None:
        """Check every mapped byte against its checksum, as it is now. Raises `DamagedError`."""
        self.state.core.verify(cores())

    def memory(self) -> dict[str, Any]:
        """What the catalogue takes of memory now, in bytes, in all and by type.

        ``bytes`` of the files; ``resident``, those in the page cache, which all processes share. Of this process:
        ``mapped`` into it, ``shared`` with others or ``private``, its part where each page is divided by the processes
        that map it (``pss``), mapped by ``huge`` pages, and ``locked``. ``limit`` is what the process may use, and what
        says so. By type also ``fields``, ``sections``, ``index_bits_per_key`` and ``holes``, slots without a record.

        What the system does not tell is ``None``: ``resident`` of files that the user neither owns nor may write, and
        all of this process without ``/proc``. Takes milliseconds for each gigabyte: not for every request.
        """
        return memory_of(self.state.core)

    def info(self) -> dict[str, Any]:
        """What the version holds: for each type its key, records, fields with their bytes, sections and counters."""
        state = self.state
        types = {name: _described(state, name) for name in state.core.types()}
        return {
            "path": self._refresher.origin.place,
            "namespace": state.files.manifest["namespace"],
            "version": state.version,
            "bytes": state.core.size(),
            "types": types,
        }

    def __repr__(self) -> str:
        state = self.state
        counts = ", ".join(f"{state.core.len(name):,} {name}" for name in state.core.types())
        return f"<bedeck.Catalogue {self._refresher.origin.place!r}, version {state.version}: {counts}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._opened

    def enlist(self, selection: Selection) -> None:
        """Compile ``selection``; from now on take only versions that can answer it, as long as it lives."""
        self._refresher.enlist(selection, self)


def _described(state: State, name: str) -> dict[str, Any]:
    """What the layers of a type hold: of the base all, of the others what tells what they change.

    A field is described as the base has it, or the first layer that does; its bytes are those of all layers.
    """
    base, *others = layers = json.loads(state.core.directories(name))
    manifest = state.files.manifest["types"][name]
    fields = [_field(field, layers) for field in manifest["fields"]]
    over = [{member: of[member] for member in ("kind", "records", "fields", "sections", "counters")} for of in others]
    records, digest = state.core.len(name), manifest.get("digest", base["digest"])
    return {**base, "records": records, "digest": digest, "fields": fields, "layers": over}


def _field(field: Mapping[str, Any], layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    held = [of for layer in layers for of in layer["fields"] if of["id"] == field["id"]]
    return {"nulls": 0, **(held[0] if held else {}), **field, "bytes": sum(of["bytes"] for of in held)}


def _reopen(store: Store, opened: Mapping[str, Any]) -> Catalogue:
    return open(store, **opened)
