"""bedeck: metadata for every id in an API answer, from the whole catalogue, inside the service's own process.

>>> import bedeck
>>> catalogue = bedeck.open("store/")                                       # doctest: +SKIP
>>> catalogue["track"].decorate(ids, ["title", "artists.name"])             # doctest: +SKIP
[{'title': 'No Air', 'artists': [{'name': 'Jordin Sparks'}, {'name': 'Chris Brown'}]}, None]

Importing bedeck needs nothing but the standard library; building needs pyarrow: ``pip install pyarrow``.
"""

import warnings
from collections.abc import Mapping

from bedeck._core import DEBUG, VERSION, Batches, Record
from bedeck.build import Build, build
from bedeck.catalogue import Catalogue
from bedeck.catalogue import open as open  # noqa: A004 - bedeck.open, as gzip.open
from bedeck.cycle import Cycle, CycleField, CycleType, Dangling, Finding
from bedeck.diff import Diff, diff
from bedeck.errors import (
    BusyError,
    DamagedError,
    DanglingReferenceError,
    DeadlineError,
    DuplicateKeyError,
    Error,
    FormatError,
    MissingKeyError,
    NotFoundError,
    RefusedError,
    SchemaError,
    SelectionError,
    SourceError,
    StoreError,
)
from bedeck.memory import MemoryWarning, Warmed
from bedeck.producer import Producer
from bedeck.records import Records, Selection, View
from bedeck.schema import Key, Reference, Schema, Type
from bedeck.status import Event, Status

# Without `open`: "from bedeck import *" leaves the built-in one in its place.
__all__ = [
    "Batches",
    "Build",
    "BusyError",
    "Catalogue",
    "Cycle",
    "CycleField",
    "CycleType",
    "DamagedError",
    "Dangling",
    "DanglingReferenceError",
    "DeadlineError",
    "Diff",
    "DuplicateKeyError",
    "Error",
    "Event",
    "Finding",
    "FormatError",
    "Key",
    "MemoryWarning",
    "MissingKeyError",
    "NotFoundError",
    "Producer",
    "Record",
    "Records",
    "Reference",
    "RefusedError",
    "Schema",
    "SchemaError",
    "Selection",
    "SelectionError",
    "SourceError",
    "Status",
    "StoreError",
    "Type",
    "View",
    "Warmed",
    "build",
    "diff",
]

__version__ = VERSION

Mapping.register(Record)

if DEBUG:
    warnings.warn("bedeck's core is a debug build: its speed means nothing", RuntimeWarning, stacklevel=2)
