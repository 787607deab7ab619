"""The log of a store: what is announced, what is pinned, and who changed it, as in docs/format.md, 'The log'."""

import getpass
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bedeck._core import blake3
from bedeck.errors import DamagedError, FormatError, NotFoundError, StoreError
from bedeck.objects import Objects

__all__ = ["HASH", "RECOVER", "Entry", "Log", "Ref", "canonical", "parse"]

KINDS: Final = ("announce", "rollback", "pin", "unpin", "collect")
HINT: Final = "latest"
ENTRY_NAME: Final = re.compile(r"log/((?!0{10})[0-9]{10})\.json")
HASH: Final = re.compile(r"[0-9a-f]{64}")
MOST_AT_ONCE: Final = 32  # entries that are read side by side
ATTEMPTS: Final = 8  # a store may say that an object is there which, a moment later, is not
RECOVER: Final = "restore it from a copy of the store, open another version with version=, or build into a new store"


@dataclass(frozen=True, slots=True)
class Ref:
    """A version, and the name of its manifest: 64 hex digits."""

    version: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry ``number`` of the log: what somebody did, and what is announced and pinned since.

    ``kind`` is ``"announce"``, ``"rollback"``, ``"pin"``, ``"unpin"`` or ``"collect"``; ``details`` say more, by kind:
    the ``"reason"`` that was given, what an announced version was built from, the ``"versions"`` that were dropped.
    ``at`` is the clock of whoever wrote it, ``by`` says who: user@host.
    """

    number: int
    kind: str
    announced: Ref
    pinned: Ref | None
    at: str
    by: str
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def served(self) -> Ref:
        """What consumers serve: the version that is pinned, or else the one that is announced."""
        return self.pinned or self.announced

    @property
    def dropped(self) -> frozenset[int]:
        """The versions that are not kept from here on: those that a ``"collect"`` names."""
        named = self.details.get("versions") if self.kind == "collect" else None
        return (
            frozenset(number for number in named if isinstance(number, int)) if isinstance(named, list) else frozenset()
        )


class Log:
    """Numbered entries, each made once and never changed. The newest says what is announced and pinned.

    Any number of threads and processes may read and append: of many that append the same number, one does.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._hint: tuple[str | None, int] = (None, 0)
        self._known: Entry | None = None

    def numbers(self, after: int = 0) -> list[int]:
        """The numbers of the entries beyond ``after``, ascending. Other names are passed over; gaps show as gaps."""
        names = self._objects.list("log/", name_of(after) if after else "")
        return [int(found[1]) for name in names if (found := ENTRY_NAME.fullmatch(name))]

    def entry(self, number: int) -> Entry:
        """Entry ``number``, its checksum compared.

        Raises `NotFoundError` (no such entry), `DamagedError`, or `FormatError` (not of a kind that this bedeck knows).
        """
        name, what = name_of(number), f"log entry {number}"
        place = f"{self._objects.place}/{name}"
        try:
            line, newline, checksum = self._objects.get(name).partition(b"\n")
        except NotFoundError:
            told = f"{what} is missing from {self._objects.place} (file {place}): {RECOVER}"
            raise NotFoundError(told) from None
        if newline + checksum != checksum_of(line):
            raise DamagedError(f"{what} of {self._objects.place} does not match its checksum (file {place}): {RECOVER}")
        found = parse(line)
        match found:
            case {"kind": str(kind)} if kind not in KINDS:
                told = f"{what} of {self._objects.place} is of kind {kind!r} (file {place})"
                raise FormatError(f"{told}: upgrade bedeck to read it")
            case {"kind": "announce", "manifest": str(), "version": int()}:
                told = f"{what} of {self._objects.place} was written by a bedeck older than format 1 (file {place})"
                raise FormatError(f"{told}: build into a new store")
            case {
                "announced": at_head,
                "at": str(at),
                "by": str(by),
                "details": dict(details),
                "entry": int(written),
                "kind": str(kind),
                "pinned": held,
            } if written == number and written is not True:
                announced, pinned = ref_of(at_head), ref_of(held)
                if announced and (pinned or held is None):
                    return Entry(number, kind, announced, pinned, at, by, details)
        raise DamagedError(
            f"{what} of {self._objects.place} does not hold what its name says (file {place}): {RECOVER}"
        )

    def expect(self, number: int) -> Entry:
        """Entry ``number``, which has to be there because a later one is: DamagedError where it is missing."""
        try:
            return self.entry(number)
        except NotFoundError:
            raise self._missing(number) from None

    def head(self) -> Entry | None:
        """The newest entry, `None` where there is none: two cheap requests where nothing changed since the last call.

        Found from the hint ``latest`` and by asking for the next number until there is none; where the hint leads
        nowhere, by listing. What lies beyond a gap is not seen: `newest` sees it.
        """
        hinted, known = self._hinted(), self._known
        if known and hinted < known.number and self._attempt(known.number) != known:
            known = self._known = None  # another log lies in its place
        number = max(hinted, known.number if known else 0)
        found = known if known and known.number == number else self._attempt(number) if number else None
        if found is None:
            numbers = self.numbers()
            if not numbers:
                return None
            number = numbers[-1]
            found = self._attempt(number) or self._missing(number)
        while (following := self._attempt(number + 1)) is not None:
            number, found = number + 1, following
        return self._keep(found)

    def newest(self) -> Entry | None:
        """The entry with the highest number that a listing shows, `None` where there is none: for whoever appends."""
        hinted = self._hinted()
        numbers = self.numbers(after=hinted - 1) if hinted > 1 else []
        numbers = numbers or self.numbers()
        return self.entry(numbers[-1]) if numbers else None

    def back(self) -> Iterator[Entry | StoreError]:
        """The entries, newest first; in the place of one that cannot be read, and of a gap, the error that says so.

        They are read some at a time, more each time, so that a long way back does not take a request after the other.
        """
        numbers = self.numbers()[::-1]
        start, count = 0, 1
        while block := numbers[start : start + count]:
            for number, found in zip(block, self._read_all(block), strict=True):
                yield found or self._missing(number)
                following = numbers[start + 1] if start + 1 < len(numbers) else 0
                if following != number - 1:
                    yield self._missing(number - 1)
                start += 1
            count = min(2 * count, MOST_AT_ONCE)

    def append(
        self, after: Entry | None, kind: str, announced: Ref, pinned: Ref | None, details: Mapping[str, Any]
    ) -> Entry | None:
        """Make the entry that follows ``after``; `None`, and nothing changed, where somebody else has made that one."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        entry = Entry((after.number if after else 0) + 1, kind, announced, pinned, now, user(), details)
        line = canonical(
            {
                "announced": mapping_of(announced),
                "at": entry.at,
                "by": entry.by,
                "details": details,
                "entry": entry.number,
                "kind": kind,
                "pinned": mapping_of(pinned) if pinned else None,
            }
        )
        if not self._create(name_of(entry.number), line + checksum_of(line)):
            return None
        self._keep(entry)
        with suppress(StoreError):  # the entry is made: whoever misses the hint finds it all the same
            self._objects.put(HINT, f"{entry.number}\n".encode())
        return entry

    def _create(self, name: str, data: bytes) -> bool:
        failed: StoreError | None = None
        for _ in range(ATTEMPTS):
            try:
                if self._objects.create(name, data):
                    return True
                failed = None
            except StoreError as error:
                failed = error
            try:
                mine = self._objects.get(name) == data
            except NotFoundError:
                if failed:
                    raise failed from None
                continue
            # It may be ours, and an answer lost. Where there was an error it may not be durable: ask again.
            if not failed or not mine:
                return mine
        raise failed or StoreError(f"{self._objects.place} neither makes {name} nor has it: try again")

    def _read_all(self, numbers: list[int]) -> list[Entry | StoreError | None]:
        if len(numbers) == 1:
            return [self._attempt(numbers[0])]
        with ThreadPoolExecutor(len(numbers)) as pool:
            return list(pool.map(self._attempt, numbers))

    def _attempt(self, number: int) -> Entry | StoreError | None:
        try:
            return self.entry(number)
        except NotFoundError:
            return None
        except (DamagedError, FormatError) as error:
            return error

    def _missing(self, number: int) -> DamagedError:
        return DamagedError(f"log entry {number} of {self._objects.place} is missing among others: {RECOVER}")

    def _keep(self, found: Entry | StoreError) -> Entry:
        if isinstance(found, StoreError):
            raise found
        if self._known is None or found.number > self._known.number:
            self._known = found
        return found

    def _hinted(self) -> int:
        """The number that the hint names; 0 where there is none, or it is no number."""
        try:
            changed = self._objects.changed(HINT, self._hint[0])
        except (NotFoundError, DamagedError):
            return 0
        if changed is not None:
            text, tag = changed
            self._hint = (tag, int(text) if re.fullmatch(rb"[0-9]{1,10}\n?", text) else 0)
        return self._hint[1]


def name_of(number: int) -> str:
    """The name of the object that holds entry ``number``."""
    return f"log/{number:010}.json"


def mapping_of(ref: Ref) -> dict[str, Any]:
    """A reference as it is written."""
    return {"manifest": ref.manifest, "version": ref.version}


def ref_of(value: object) -> Ref | None:
    """The reference that was written as ``value``; `None` where it is none."""
    match value:
        case {"manifest": str(manifest), "version": int(version)} if HASH.fullmatch(manifest) and version > 0:
            return None if version is True else Ref(version, manifest)
    return None


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``; an empty one where that is not what it holds."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def canonical(value: Mapping[str, Any]) -> bytes:
    """``value`` as JSON in the one form that is hashed."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def checksum_of(line: bytes) -> bytes:
    """What follows ``line`` in an entry."""
    return f"\nblake3:{blake3(line)}\n".encode()


def user() -> str:
    """Who writes: user@host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that has no name
        name = str(os.getuid())
    return f"{name}@{platform.node()}"
