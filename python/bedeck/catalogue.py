"""Reading a catalogue: the announced version of a store, its types, and lists decorated from them."""

import json
import os
import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from bedeck._core import Batches, Compiled, Record
from bedeck.build import cores
from bedeck.cache import Cache
from bedeck.errors import MissingKeyError, SelectionError
from bedeck.follow import Follower
from bedeck.memory import Warmed, memory_of
from bedeck.origin import Folder
from bedeck.refresh import Refresher
from bedeck.state import State, Verify
from bedeck.status import Event, Status
from bedeck.store import LocalStore, Store

__all__ = ["Catalogue", "Missing", "Records", "Selection", "View", "open"]

Missing = Literal["null", "drop", "error"]


class Holder(Protocol):
    """What says which state a call sees: a catalogue, whose state changes, or a view, whose state does not."""

    @property
    def state(self) -> State: ...

    def enlist(self, selection: "Selection") -> None: ...


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

    def __getitem__(self, name: str) -> "Records":
        """The type ``name``. Raises `SelectionError` where there is none."""
        return Records(self, _known(self.state, name))

    def __contains__(self, name: object) -> bool:
        return name in self.types

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def view(self) -> "View":
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

    def enlist(self, selection: "Selection") -> None:
        """Compile ``selection``; from now on take only versions that can answer it, as long as it lives."""
        self._refresher.enlist(selection, self)


class View:
    """One version of a catalogue, whatever is announced meanwhile. ``view[name]`` is a type of it."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def version(self) -> int:
        """The version that is seen."""
        return self.state.version

    def __getitem__(self, name: str) -> "Records":
        """The type ``name``. Raises `SelectionError` where there is none."""
        return Records(self, _known(self.state, name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: the version is unmapped once nobody refers to it."""

    def __repr__(self) -> str:
        return f"<bedeck.View of version {self.version}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _review, (self.state.files.folder, self.state.version)

    def enlist(self, selection: "Selection") -> None:
        """Compile ``selection``, which stays with the version."""
        self.state.compiled(selection.name, selection.fields)


class Records(Mapping[Any, Record]):
    """The records of one type, by key, in the version that its catalogue or view serves.

    Ids may be ``str``, ``bytes``, ``uuid.UUID`` or ``int``, by the kind of the key, in any iterable or in a column of
    NumPy, pandas, polars or Arrow. One that is not well formed is not in the catalogue; one that cannot be a key of
    this kind at all is a ``TypeError`` that names its place.

    ``fields`` is a list of names: fields, the key, and dotted ways through references, as in
    ``"album.artists.name"``. ``None`` is every field of the type itself, without the key. A bare reference column
    gives the keys it names; a reference that leads to no record is ``None`` in its place. ``missing`` says what
    becomes of an id that is not in the catalogue: ``"null"`` keeps its place, ``"drop"`` leaves it out, ``"error"``
    raises `MissingKeyError`. ``deadline`` is a time on the clock of ``time.monotonic()``, not a duration, after which
    `DeadlineError` is raised between slices of a long list: ``deadline=time.monotonic() + 0.05``.

    Two `Records` are equal only if they are one.
    """

    __slots__ = ("_holder", "name")

    def __init__(self, holder: Holder, name: str) -> None:
        self._holder = holder
        self.name = name

    def decorate(
        self,
        ids: Iterable[Any],
        fields: Sequence[str] | None = None,
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> list[Any]:
        """A dict for each id, in order, duplicates included. Linear in the length of the list."""
        return self._compiled(fields).decorate(ids, missing, _left(deadline))

    def decorate_json(
        self,
        ids: Iterable[Any],
        fields: Sequence[str] | None = None,
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> bytes:
        """The same as one JSON array (RFC 8259, UTF-8), rendered natively."""
        return self._compiled(fields).decorate_json(ids, missing, _left(deadline))

    def decorate_arrow(
        self,
        ids: Iterable[Any],
        fields: Sequence[str] | None = None,
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> Batches:
        """The same as Arrow data with a row for each id: for pyarrow, polars, duckdb, pandas and others.

        An id that is not in the catalogue is a row of nulls; select the key to tell it from a record of nulls.
        """
        return self._compiled(fields).decorate_arrow(ids, missing, _left(deadline))

    def select(self, *fields: str) -> "Selection":
        """A choice of fields, compiled once. Raises `SelectionError` where one does not exist."""
        _check_flat(fields)
        return Selection(self._holder, self.name, _names(fields))

    def __getitem__(self, key: Any) -> Record:
        """The record with this key, lazily: key and all own fields. Raises `MissingKeyError`."""
        record = self._whole().find(key)
        if record is None:
            raise MissingKeyError(f"type {self.name!r} has no record with key {key!r}")
        return record

    def get(self, key: Any, default: Any = None) -> Any:
        """The record with this key, or ``default``."""
        record = self._whole().find(key)
        return default if record is None else record

    def __contains__(self, key: object) -> bool:
        return self._whole().find(key) is not None

    def __len__(self) -> int:
        return self._holder.state.core.len(self.name)

    def __iter__(self) -> Iterator[Any]:
        """All keys of the version that is served when the iteration starts."""
        return iter(self._holder.state.core.keys(self.name))

    def keys(self) -> KeysView[Any]:
        """All keys of the version that is served now."""
        return KeysView(self._pinned())

    def values(self) -> ValuesView[Record]:
        """All records of the version that is served now."""
        return ValuesView(self._pinned())

    def items(self) -> ItemsView[Any, Record]:
        """All keys and records of the version that is served now."""
        return ItemsView(self._pinned())

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """All records of the type, key first, in the order of their slots, streamed."""
        return self._whole().scan().__arrow_c_stream__()

    def __arrow_c_schema__(self) -> object:
        """The schema of that stream."""
        return self._whole().scan().__arrow_c_schema__()

    def __repr__(self) -> str:
        return f"<bedeck.Records {self.name!r}: {len(self):,} records, version {self._holder.state.version}>"

    def _compiled(self, fields: Sequence[str] | None) -> Compiled:
        return self._holder.state.compiled(self.name, None if fields is None else _names(fields))

    def _whole(self) -> Compiled:
        return self._holder.state.whole(self.name)

    def _pinned(self) -> "Records":
        """The same in one version."""
        return Records(View(self._holder.state), self.name)


class Selection:
    """A choice of fields of one type, compiled once; its calls are those of `Records` without ``fields``."""

    __slots__ = ("__weakref__", "_holder", "fields", "name")

    def __init__(self, holder: Holder, name: str, fields: tuple[str, ...]) -> None:
        self._holder = holder
        self.name = name
        self.fields = fields
        holder.enlist(self)

    def decorate(self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None) -> list[Any]:
        """A dict for each id, in order, duplicates included."""
        return self._compiled().decorate(ids, missing, _left(deadline))

    def decorate_json(self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None) -> bytes:
        """One JSON array."""
        return self._compiled().decorate_json(ids, missing, _left(deadline))

    def decorate_arrow(
        self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None
    ) -> Batches:
        """Arrow data with a row for each id."""
        return self._compiled().decorate_arrow(ids, missing, _left(deadline))

    def records(
        self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None
    ) -> list[Record | None]:
        """A lazy record for each id: its values are made when they are asked for."""
        return self._compiled().records(ids, missing, _left(deadline))

    def __repr__(self) -> str:
        return f"<bedeck.Selection of {self.name!r}: {', '.join(self.fields)}>"

    def _compiled(self) -> Compiled:
        return self._holder.state.compiled(self.name, self.fields)


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


def _review(path: Path, version: int) -> View:
    return open(path, version=version).view()


def _known(state: State, name: str) -> str:
    if name not in state.core.types():
        raise SelectionError(f"there is no type {name!r}; the catalogue has {', '.join(state.core.types())}")
    return name


def _names(fields: Sequence[str]) -> tuple[str, ...]:
    if isinstance(fields, str):
        raise TypeError(f"fields must be a list of names, not one string: [{fields!r}]")
    return tuple(fields)


def _check_flat(fields: tuple[object, ...]) -> None:
    if fields and isinstance(fields[0], list | tuple):
        raise TypeError('fields are names, not a list: select("a", "b")')


def _left(deadline: float | None) -> float | None:
    try:
        return None if deadline is None else deadline - time.monotonic()
    except TypeError:
        raise TypeError(f"deadline={deadline!r}: a time of time.monotonic() is expected, in seconds") from None
