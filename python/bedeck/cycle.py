"""What became of a cycle: the version it announced, if any, and what is new in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = ["Cycle", "CycleField", "CycleType", "Dangling", "Finding"]


class Dangling(NamedTuple):
    """References of one field to keys that have no record: how many ``uses`` of how many different ``keys``."""

    uses: int
    keys: int


NONE = Dangling(0, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a validator found: in which ``type`` and ``field``, in words, with some of the keys it is about.

    ``limit`` is a line for a ``catalogue.toml`` that would let it pass, where there is one.
    """

    validator: str
    what: str
    type: str | None = None
    field: str | None = None
    examples: tuple[str, ...] = ()
    limit: str | None = None

    @property
    def place(self) -> str:
        """The type and the field, as a message names them."""
        place = f'type "{self.type}"' if self.type else ""
        return f'{place}, field "{self.field}"' if self.field else place

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.validator, self.place, self.what)))


@dataclass(frozen=True, slots=True)
class CycleField:
    """One field in a version: records without a value, records whose value changed, and where references lead.

    ``changed`` is of the records that the version before has as well; ``dangling`` is of reference fields.
    """

    nulls: int
    changed: int = 0
    dangling: Dangling = NONE


@dataclass(frozen=True, slots=True)
class CycleType:
    """What became of one type.

    ``kind``: its blobs are those of the version before (``kept``), a layer came on top of them (``over``), or all of it
    was written (``anew``). ``bytes`` are those written. ``rows`` were read, ``dropped`` of them had a key that came
    before or ``null_keys`` none; ``records`` are in the version, ``added``, ``removed`` and ``changed`` compared with
    the version before.
    """

    kind: Literal["kept", "over", "anew"]
    rows: int
    records: int
    dropped: int
    null_keys: int
    added: int
    removed: int
    changed: int
    bytes: int
    key_kind: str
    fields: Mapping[str, CycleField]

    def counts(self) -> dict[str, Any]:
        """What the log keeps of it."""
        names = ("kind", "rows", "records", "dropped", "null_keys", "added", "removed", "changed", "bytes")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Cycle:
    """A finished cycle.

    ``version`` is what it announced; ``None`` where it did not: nothing was new (``unchanged``), or it was a
    ``dry_run``. ``parent`` is the version it was compared with, ``gone`` the types that this one has alone. ``allowed``
    is what validators found and ``overrides`` let pass. ``attempts`` is how often it was built: more than once where
    others announced something meanwhile.
    """

    version: int | None
    parent: int | None
    types: Mapping[str, CycleType]
    seconds: float
    unchanged: bool = False
    dry_run: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[Finding, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    attempts: int = 1

    @property
    def bytes(self) -> int:
        """Bytes of all blobs that were written."""
        return sum(type_.bytes for type_ in self.types.values())
