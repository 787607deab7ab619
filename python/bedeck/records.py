"""Views of a version, the records of its types, and selections of their fields."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from bedeck import items as entities
from bedeck import uris as full
from bedeck._core import Batches, Compiled, Record
from bedeck.deadline import left
from bedeck.errors import MissingKeyError, SelectionError
from bedeck.state import State

__all__ = ["Holder", "Missing", "Records", "Selection", "View", "chosen", "kept", "known"]

Missing = Literal["null", "drop", "error"]


class Holder(Protocol):
    """What says which state a call sees: a catalogue, whose state changes, or a view, whose state does not."""

    @property
    def state(self) -> State:
        """The state as it is now."""

    def enlist(self, selection: "Selection") -> None:
        """Compile ``selection`` against it."""


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
        return Records(self, known(self.state, name))

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
        return self._compiled(fields).decorate(ids, missing, left(deadline))

    def decorate_json(
        self,
        ids: Iterable[Any],
        fields: Sequence[str] | None = None,
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> bytes:
        """The same as one JSON array (RFC 8259, UTF-8), rendered natively."""
        return self._compiled(fields).decorate_json(ids, missing, left(deadline))

    def fragments(
        self,
        ids: Iterable[Any],
        fields: Sequence[str] | None = None,
        *,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> list[bytes | None]:
        """The same as a JSON object for each id, to be put into a larger document as it is; ``None`` for null."""
        return self._compiled(fields).fragments(ids, missing, left(deadline))

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
        return self._compiled(fields).decorate_arrow(ids, missing, left(deadline))

    def decorate_items(  # noqa: PLR0913 - what may be left out is named
        self,
        items: Iterable[Mapping[str, Any]],
        fields: Sequence[str] | None = None,
        *,
        key: str = "id",
        into: str | None = None,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """A copy of each of ``items``, which carry an id under ``key`` and fields of their own, with its record.

        The record is a dict under ``into``, ``None`` where it is missing; or, without ``into``, its fields are among
        those of the item, and go before them where both have one. Items are not changed.

        Raises ``TypeError`` where an item is no mapping or has no ``key``; the rest as `decorate`.
        """
        compiled = self._compiled(fields)
        return entities.decorate(
            items, lambda ids: compiled.decorate(ids, kept(missing), left(deadline)), key, into, missing
        )

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
        return self._holder.state.compiled(self.name, chosen(fields))

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
        return self._compiled().decorate(ids, missing, left(deadline))

    def decorate_json(self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None) -> bytes:
        """One JSON array."""
        return self._compiled().decorate_json(ids, missing, left(deadline))

    def fragments(
        self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None
    ) -> list[bytes | None]:
        """A JSON object for each id, ``None`` where it is null."""
        return self._compiled().fragments(ids, missing, left(deadline))

    def decorate_arrow(
        self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None
    ) -> Batches:
        """Arrow data with a row for each id."""
        return self._compiled().decorate_arrow(ids, missing, left(deadline))

    def decorate_items(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        key: str = "id",
        into: str | None = None,
        missing: Missing = "null",
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """A copy of each of ``items``, which carry an id under ``key`` and fields of their own, with its record.

        As `Records.decorate_items`.
        """
        compiled = self._compiled()
        return entities.decorate(
            items, lambda ids: compiled.decorate(ids, kept(missing), left(deadline)), key, into, missing
        )

    def records(
        self, ids: Iterable[Any], *, missing: Missing = "null", deadline: float | None = None
    ) -> list[Record | None]:
        """A lazy record for each id: its values are made when they are asked for."""
        return self._compiled().records(ids, missing, left(deadline))

    def __repr__(self) -> str:
        return f"<bedeck.Selection of {self.name!r}: {', '.join(self.fields)}>"

    def _compiled(self) -> Compiled:
        return self._holder.state.compiled(self.name, self.fields)


def _review(path: Path, version: int) -> View:
    from bedeck.catalogue import open as open_catalogue  # noqa: PLC0415 - which has views

    return open_catalogue(path, version=version).view()


def known(state: State, name: str) -> str:
    """The same name. Raises `SelectionError` where it is of no type."""
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


def chosen(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of fields, as selections are known by; ``None`` for all. Raises ``TypeError`` for one string."""
    return None if fields is None else _names(fields)


def kept(missing: Missing) -> Missing:
    """As it has to be where each id keeps its place at first."""
    return "null" if missing == "drop" else missing
