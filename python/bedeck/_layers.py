"""The layers of a type, as `bedeck.reference` reads them: a base, groups over it, and an overlay.

    Blob      one file: key -> slot -> bytes of a record
    Piece     these bytes, taken apart into packed bits and var values
    Changes   what an overlay changes of its base: slot of the base -> slot of the overlay
    Layers    the blobs of a type, one over the other: key, or ordinal -> record
    Record    a record as the layers make it: number of a field -> raw value

docs/format.md, "Layers", says the same in prose. Whatever does not fit raises `DamagedError`: not only what could not
be read, but also what no builder writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bedeck._files import Sections
from bedeck._guard import Json, Section
from bedeck._layout import Field, Index, Key, Locator, Number, Raw, Var

__all__ = ["Blob", "Changes", "Layers", "Piece", "Record"]

LINE, RANK, TAIL = 64, 4, 64
SLOTS_A_LINE = 8 * (LINE - RANK)
DELETED = (1 << 32) - 1
MAX_VALUE = (1 << 31) - 1
MOST_GROUPS = 1000


# One blob ----------------------------------------------------------------------------------------------------------


class Blob:
    """One file of a type. In a group a slot is all that leads to a record; elsewhere keys do."""

    def __init__(self, sections: Sections, directory: Json) -> None:
        self.sections, self.directory = sections, directory
        self.kind = directory["kind"].text()
        self.has_keys = self.kind != "group"
        self.key = Key.read(directory["key"])
        self.index = Index.read(directory["index"], sections["pilots"], has_keys=self.has_keys)
        self.records, self.heap = sections["records"], sections["heap"]
        record = directory["record"]
        self.fixed = record["fixed"].integer(least=max(1, self.key.width if self.has_keys else 1))
        width = directory["locator"]["width"].integer()
        length = 0 if self.has_keys else self.fixed
        self.locator = Locator(sections["locator"], width, self.index.total, length)
        if width == 0 and len(self.records.data) != length * self.index.total + TAIL:
            raise self.records.damaged(f"has {len(self.records.data)} bytes, not {length} a slot and {TAIL}")
        if ("key" in record) != (self.has_keys and self.key.width == 0):
            raise record.damaged(f"has a place for keys, or lacks it: {self.key.kind} in a blob of kind {self.kind}")
        self.key_var = Var.read(record["key"], self.fixed) if "key" in record else None
        self.fields = tuple(Field.read(field, self.fixed, sections["values"]) for field in directory["fields"].items())
        places = [self.key_var, *(place for field in self.fields for place in (field.place, field.printed))]
        self.vars = sorted((place for place in places if isinstance(place, Var)), key=lambda var: var.order)
        self.check()

    def __len__(self) -> int:
        """How many records there are."""
        return self.directory["records"].integer(most=self.index.total)

    def find(self, stored: bytes) -> Piece | None:
        """The record of a key: index and locator lead to a record or to a hole, and the key in the record decides."""
        piece = self.piece(self.index.slot(stored))
        return piece if piece is not None and piece.stored_key == stored else None

    def piece(self, slot: int) -> Piece | None:
        """The record in a slot; `None` in a hole."""
        start, end = self.locator.extent(slot)
        return Piece(self, slot, self.records.part(f"slot {slot}", start, end - start)) if end > start else None

    def pieces(self) -> Iterator[Piece]:
        """All records, in slot order."""
        return (piece for piece in map(self.piece, range(self.index.total)) if piece is not None)

    def field(self, number: int) -> Field | None:
        """The field with this number."""
        return next((field for field in self.fields if field.id == number), None)

    def check(self) -> None:
        """The records lie one after the other, 64 zeros follow them, and each is found by its key."""
        fields = self.directory["fields"]
        if [var.order for var in self.vars] != list(range(len(self.vars))):
            raise fields.damaged("does not number the var values from 0 without gaps")
        if len({field.id for field in self.fields}) < len(self.fields):
            raise fields.damaged("has two fields of one number")
        count = position = 0
        for start, end in map(self.locator.extent, range(self.index.total)):
            if start != position:
                raise self.locator.section.damaged(f"leaves a gap before the record at {start}")
            count, position = count + (end > start), end
        if self.records.data[position:] != bytes(TAIL):
            raise self.records.damaged(f"does not end with {TAIL} zero bytes after the last record")
        if self.has_keys and count != len(self):
            raise self.locator.section.damaged(f"has {count} records, not {len(self)}")
        for piece in self.pieces() if self.has_keys else ():
            if self.index.slot(piece.stored_key) != piece.slot:
                raise piece.section.damaged("is not where its key leads")


class Piece:
    """What one blob has of a record, taken apart into its packed bits and its var values."""

    def __init__(self, blob: Blob, slot: int, section: Section) -> None:
        self.blob, self.slot, self.section = blob, slot, section
        self.var_values: list[bytes] = []
        position = blob.fixed
        for var in blob.vars:
            number = section.bits(var.offset, var.bits)
            if var.long and number == (1 << var.bits) - 1:
                offset, length = struct.unpack("<QI", section.take(position, 12))
                if length > MAX_VALUE:
                    raise section.damaged(f"has a value of {length} bytes; {MAX_VALUE} are the most")
                self.var_values.append(blob.heap.take(offset, length))
                position += 12
            else:
                self.var_values.append(section.take(position, number * var.unit))
                position += number * var.unit
        if position != len(section.data):
            raise section.damaged(f"has {len(section.data)} bytes, and its values {position}")

    @property
    def stored_key(self) -> bytes:
        """The stored form of its key."""
        key_var = self.blob.key_var
        return self.section.take(0, self.blob.key.width) if key_var is None else self.var_values[key_var.order]

    def raw(self, field: Field) -> Raw:
        """The raw value of a field."""
        if field.null_bit is not None and self.section.bits(field.null_bit, 1):
            return None
        match field.place:
            case Var(order):
                return field.parse(self.var_values[order])
            case Number() as number:
                place = number.read_from(self.section)
                return place if field.values is None else field.parse(field.values[place])

    def printed(self, field: Field) -> Raw:
        """The keys that a reference names, as texts, where the record has those."""
        if field.printed is None or self.raw(field) is None:
            return None
        return field.parse_printed(self.var_values[field.printed.order])


# Blobs over others -------------------------------------------------------------------------------------------------


class Changes:
    """What an overlay changes of its base.

    `places` has, for each slot of the base that is not as it was, the slot of the overlay that has its record now;
    `inserted` the same for each key that came since. `None` where there is no record any more.
    """

    def __init__(self, sections: Sections, slots: int, own: int) -> None:
        changed = self.changed(sections["changes"], slots)
        places = self.read_places(sections["places"], own)
        if len(changed) != len(places):
            raise sections["places"].damaged(f"has {len(places)} places for {len(changed)} slots that are changed")
        self.places = dict(zip(changed, places, strict=True))
        self.inserted = self.read_places(sections["inserted"], own)

    @staticmethod
    def changed(section: Section, slots: int) -> list[int]:
        """The slots of the base whose bit is 1, in order; each line begins with how many there are in those before."""
        changed: list[int] = []
        count = -(-slots // SLOTS_A_LINE)
        if len(section.data) != count * LINE:
            raise section.damaged(f"has {len(section.data)} bytes, not {count} lines for {slots} slots")
        for line in range(count):
            if section.bits(8 * LINE * line, 8 * RANK) != len(changed):
                raise section.damaged(f"line {line} does not begin with {len(changed)}, the ones before it")
            first = 8 * (LINE * line + RANK)
            changed += [line * SLOTS_A_LINE + bit for bit in range(SLOTS_A_LINE) if section.bits(first + bit, 1)]
        if changed and changed[-1] >= slots:
            raise section.damaged(f"has slot {changed[-1]} changed, of {slots}")
        return changed

    @staticmethod
    def read_places(section: Section, own: int) -> list[int | None]:
        """Slots of the overlay, which has so many."""
        if len(section.data) % 4:
            raise section.damaged("is not made of numbers of four bytes")
        places = [place for (place,) in struct.iter_unpack("<I", section.data)]
        for place in places:
            if place >= own and place != DELETED:
                raise section.damaged(f"has place {place}, but the overlay {own} slots")
        return [None if place == DELETED else place for place in places]


@dataclass(frozen=True)
class Record:
    """A record as the layers make it: a piece of the base, or of the overlay, and where it is looked at for fields.

    A field of a base's record is in the last group that has it, or else in the base itself; that of an overlay's is in
    the overlay. What is nowhere came later, and is null.
    """

    piece: Piece
    blobs: Sequence[Blob]

    @property
    def key(self) -> str | int | bytes:
        """Its key, as it is printed."""
        with self.piece.section.guard("key"):
            return self.piece.blob.key.value(self.piece.stored_key)

    def find(self, number: int) -> tuple[Piece, Field] | None:
        """The field with this number, and what has it."""
        for blob in self.blobs:
            field = blob.field(number)
            if field is not None:
                piece = self.piece if blob is self.piece.blob else blob.piece(self.piece.slot)
                if piece is None:
                    raise blob.records.damaged(f"has nothing of the record in slot {self.piece.slot}")
                return piece, field
        return None


class Layers:
    """The blobs of a type, one over the other."""

    def __init__(self, blobs: Sequence[Blob], hashes: Sequence[str]) -> None:
        self.base, *over = blobs
        self.groups = [blob for blob in over if blob.kind == "group"]
        overlays = [blob for blob in over if blob.kind == "overlay"]
        if [blob.kind for blob in blobs] != ["base", *["group"] * len(self.groups), *["overlay"] * len(overlays[:1])]:
            raise blobs[0].directory["kind"].damaged("is not that of a base, then groups, then at most one overlay")
        if len(self.groups) > MOST_GROUPS:
            raise self.base.directory["kind"].damaged(
                f"has {len(self.groups)} groups over it; {MOST_GROUPS} are the most"
            )
        self.overlay = overlays[0] if overlays else None
        for blob in blobs:
            self.check_base(blob, hashes[0])
        self.changes = None
        if self.overlay is not None:
            self.changes = Changes(self.overlay.sections, self.slots, self.overlay.index.total)
            self.check_changes(self.overlay, self.changes)
        for group in self.groups:
            self.check_group(group)

    def __len__(self) -> int:
        """How many records there are."""
        changed = 0 if self.changes is None else len(self.changes.places)
        return len(self.base) - changed + (0 if self.overlay is None else len(self.overlay))

    @property
    def blobs(self) -> list[Blob]:
        """All, the base first."""
        return [self.base, *self.groups, *([] if self.overlay is None else [self.overlay])]

    @property
    def slots(self) -> int:
        """The slots of the base: the ordinal of the first key inserted since."""
        return self.base.index.total

    def find(self, stored: bytes) -> Record | None:
        """The record of a key: of one that the base has, what became of it; else of one that came since."""
        was = self.base.find(stored)
        if was is not None:
            return self.now(was)
        piece = None if self.overlay is None else self.overlay.find(stored)
        return None if piece is None else self.record(piece)

    def named(self, ordinal: int) -> tuple[bytes, Record | None]:
        """The stored key that an ordinal stands for, and its record; `None` if that is deleted since the base."""
        if ordinal < self.slots:
            was = self.base.piece(ordinal)
            if was is None:
                raise ValueError(f"refers to slot {ordinal}, a hole")
            return was.stored_key, self.now(was)
        inserted = [] if self.changes is None else self.changes.inserted
        place = inserted[ordinal - self.slots] if ordinal - self.slots < len(inserted) else None
        piece = None if place is None or self.overlay is None else self.overlay.piece(place)
        if piece is None:
            raise ValueError(f"refers to ordinal {ordinal}, which no record has")
        return piece.stored_key, self.record(piece)

    def whole(self) -> Iterator[Record]:
        """All records: those that are as the base has them, then those of the overlay; in slot order."""
        changed = {} if self.changes is None else self.changes.places
        yield from (self.record(piece) for piece in self.base.pieces() if piece.slot not in changed)
        yield from (self.record(piece) for piece in (self.overlay.pieces() if self.overlay is not None else ()))

    def now(self, was: Piece) -> Record | None:
        """What became of a record of the base; `None` if it is deleted."""
        if self.changes is None or was.slot not in self.changes.places:
            return self.record(was)
        place = self.changes.places[was.slot]
        piece = None if place is None or self.overlay is None else self.overlay.piece(place)
        return None if piece is None else self.record(piece)

    def record(self, piece: Piece) -> Record:
        return Record(piece, [piece.blob] if piece.blob is self.overlay else [*reversed(self.groups), self.base])

    def check_base(self, blob: Blob, base: str) -> None:
        """A blob lies over the base: it names its hash, and has its key and epoch, a group its slots too."""
        directory = blob.directory
        if ("base" in directory) != (blob is not self.base) or (
            "base" in directory and directory["base"].text() != base
        ):
            raise directory.damaged("does not lie over the base that it is with")
        for member in ("epoch", "key", *(["index"] if blob.kind == "group" else [])):
            if directory[member].value != self.base.directory[member].value:
                raise directory[member].damaged("is not that of the base")

    def check_group(self, group: Blob) -> None:
        """It has something of every record that is as the base has it."""
        for piece in self.base.pieces():
            is_there = self.changes is None or piece.slot not in self.changes.places
            if is_there and group.piece(piece.slot) is None:
                raise group.records.damaged(f"has nothing of the record in slot {piece.slot}")

    def check_changes(self, overlay: Blob, changes: Changes) -> None:
        """Every record of the overlay is that of one key, which the base has in the slot it stands for, or has not."""
        found: list[int] = []
        for slot, place in changes.places.items():
            was = self.base.piece(slot)
            if was is None:
                raise overlay.sections["changes"].damaged(f"has slot {slot} changed, a hole of the base")
            found += self.check_place(overlay, place, was.stored_key)
        for place in changes.inserted:
            found += self.check_place(overlay, place, None)
        if sorted(found) != [piece.slot for piece in overlay.pieces()]:
            raise overlay.sections["places"].damaged("and the section inserted do not have each record once")

    def check_place(self, overlay: Blob, place: int | None, stored: bytes | None) -> list[int]:
        """The slot of a record that is there, and has this key, or one that the base has not."""
        if place is None:
            return []
        piece = overlay.piece(place)
        if piece is None:
            raise overlay.records.damaged(f"has a hole in slot {place}, to which a place leads")
        if (self.base.find(piece.stored_key) is not None) if stored is None else piece.stored_key != stored:
            raise piece.section.damaged("has a key other than that of its place")
        return [place]
