"""The errors of bedeck: one tree, so that ``except bedeck.Error`` catches whatever the package itself refuses.

::

    Error
     +- SchemaError (ValueError)            a catalogue.toml, a Schema or the type of a field is wrong
     +- SelectionError (ValueError)         a field or a type that was asked for does not exist
     +- SourceError (ValueError)            a source cannot be read, or one of its rows cannot be taken
     |   +- DuplicateKeyError               two rows have the same key
     |   +- DanglingReferenceError          a reference to a record that does not exist, where strict = true
     +- RefusedError (ValueError)           validators refused what was built: nothing was announced
     +- MissingKeyError (KeyError)          a key is not in the catalogue
     +- DeadlineError (TimeoutError)        a deadline passed before the answer was complete
     +- StoreError (OSError)                a store cannot be read or written
         +- NotFoundError (FileNotFoundError)   there is no such store or version
         +- BusyError                       another build holds the store
         +- DamagedError                    a checksum, a size or a structure is wrong, or a file of a version missing
         +- FormatError                     not a bedeck file, or one that a newer bedeck wrote

In brackets: the built-in error that each of them is as well.
A message names the file, type, field, row or key, and the way out.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bedeck.cycle import Finding

__all__ = [
    "BusyError",
    "DamagedError",
    "DanglingReferenceError",
    "DeadlineError",
    "DuplicateKeyError",
    "Error",
    "FormatError",
    "MissingKeyError",
    "NotFoundError",
    "RefusedError",
    "SchemaError",
    "SelectionError",
    "SourceError",
    "StoreError",
    "suggest",
    "within",
]

NAMES_SHOWN = 10


class Error(Exception):
    """Whatever bedeck refuses to do."""


class SchemaError(Error, ValueError):
    """A ``catalogue.toml``, a ``Schema`` or the type of a field is wrong."""


class SelectionError(Error, ValueError):
    """A field or a type that was asked for does not exist."""


class SourceError(Error, ValueError):
    """A source cannot be read, or one of its rows cannot be taken."""


class DuplicateKeyError(SourceError):
    """Two rows have the same key, and the type's ``on_duplicate`` is ``"error"``."""


class DanglingReferenceError(SourceError):
    """A reference names a record that does not exist, and the type is ``strict``."""


class RefusedError(Error, ValueError):
    """Validators refused what a cycle built: nothing was announced.

    ``findings`` has each thing that they found, a `bedeck.Finding`; the message has them all.
    """

    def __init__(self, message: str, findings: "Iterable[Finding]" = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[object, ...]:
        return RefusedError, (str(self), self.findings)


class MissingKeyError(Error, KeyError):
    """A key is not in the catalogue."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class DeadlineError(Error, TimeoutError):
    """A deadline passed before the answer was complete."""


class StoreError(Error, OSError):
    """A store cannot be read or written."""


class NotFoundError(StoreError, FileNotFoundError):
    """There is no such store or version."""


class BusyError(StoreError):
    """Another build holds the store."""


class DamagedError(StoreError):
    """A checksum, a size or a structure is wrong, or a file of a version is missing: the data is not served."""


class FormatError(StoreError):
    """Not a bedeck file, or one that a newer bedeck wrote."""


def suggest(name: str, known: Iterable[str], most: int = NAMES_SHOWN) -> str:
    """The end of a message about an unknown name: the nearest known one, or else what is known, ``most`` of it."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    shown = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"; known: {shown}" if names else ""


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put the file, table or field that is being looked at in front of the message of a `SchemaError` raised inside."""
    try:
        yield
    except SchemaError as error:
        raise SchemaError(f"{place}: {error}") from error.__cause__
