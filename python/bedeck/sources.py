"""Sources: files, Arrow data and iterables of mappings, read as streams of Arrow batches in canonical types.

Needs pyarrow, which is imported when the first source is read: ``pip install pyarrow``.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from bedeck._arrow import NOTHING, ResolvedField, ResolvedType, cast, cast_key, pyarrow, resolve, schema_of, take
from bedeck._mappings import ORIGIN as ITERABLE
from bedeck._mappings import take_mappings
from bedeck.errors import SchemaError, SourceError, within

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa

    from bedeck.schema import FieldType, Type

__all__ = ["ArrowStream", "ResolvedField", "ResolvedType", "Source", "Stream", "read", "resolve"]

BATCH = 65_536
BUFFER = 1 << 20  # bytes of a column read ahead; Arrow's own choice is to keep what it read of the whole file
ARROW = "<arrow>"
SUFFIXES = (".parquet", ".pq")
CSV = (".csv", ".csv.gz")


@runtime_checkable
class ArrowStream(Protocol):
    """Whatever exports Arrow data through the C stream interface: polars, duckdb, pandas, pyarrow and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


StrPath = str | os.PathLike[str]
Data = StrPath | Sequence[StrPath] | ArrowStream | Iterable[Mapping[str, object]]
Source = Data | Callable[[], Data]


class Stream:
    """The rows of one file, or of one Arrow or Python object, to be read once.

    ``origin`` says where they come from, ``resolved`` what their columns are: the key, then the fields. ``reader`` is a
    ``pyarrow.RecordBatchReader`` of at most 65,536 rows a batch, which reads no batch before it is asked for. Functions
    in ``watch`` are called with each batch that has been taken. Where ``nameless`` is set, rows without a key are left
    out; it is called with the numbers of those in a batch.

    Leaving ``with stream:`` closes the file, and raises what ended the reading early, of which a C stream passes on
    only the text.
    """

    def __init__(self, origin: str, resolved: ResolvedType, batches: Generator[pa.RecordBatch, None, None]) -> None:
        self.origin = origin
        self.resolved = resolved
        self._batches = batches
        self._failure: BaseException | None = None
        self.watch: list[Callable[[pa.RecordBatch], object]] = []
        self.nameless: Callable[[list[int]], object] | None = None
        self.reader = pyarrow().RecordBatchReader.from_batches(schema_of(resolved), self._watched())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.close()
        if self._failure is not None and self._failure is not error:
            raise self._failure

    def _watched(self) -> Iterator[pa.RecordBatch]:
        row = 0
        try:
            for batch in self._batches:
                try:
                    yield self._named(batch, row)
                except GeneratorExit:  # nobody asks for more
                    return
                row += batch.num_rows
                for watch in self.watch:
                    watch(batch)
        except BaseException as failure:
            self._failure = failure
            raise

    def _named(self, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
        """The batch, or those of its rows that have a key; ``row`` is the number of its first."""
        keys = batch.column(0)
        if self.nameless is None or not keys.null_count:
            return batch
        valid = keys.is_valid()
        self.nameless([row + place for place, has_key in enumerate(valid.to_pylist()) if not has_key])
        return batch.filter(valid)


def read(  # noqa: PLR0913 - what may be left out is named
    type_name: str,
    type_: Type,
    source: Source,
    base: StrPath = ".",
    known: Mapping[str, FieldType] = NOTHING,
    *,
    sparse: bool = False,
) -> Iterator[Stream]:
    """Open a source of a type: a stream for each file, in ascending order of path, or one stream for what is no file.

    ``source`` is a path or glob of Parquet files (relative ones start at ``base``), or a list of them; or anything with
    ``__arrow_c_stream__``; or an iterable of mappings, whose missing entries are null and whose types are inferred from
    the first 16,384; or a function that gives one of these. The schemas of all files are compared before the first is
    read. ``known`` has types of fields that are kept where they can be, unless ``type_`` declares another. ``sparse``
    lets mappings lack declared fields altogether: these are null.
    Memory does not grow with the source.

    Raises, when called or while a stream is opened or read, `SchemaError` where columns do not agree with ``type_`` or
    among files, and `SourceError`, with file, row (from 0), field and value, where something cannot be read or taken.
    Does not judge keys: null, malformed and duplicate ones are streamed as they are.
    """
    if callable(source):
        source = source()
    paths = paths_of(source, base)
    if paths is not None:
        return _read_files(type_name, type_, paths, known)
    if isinstance(source, ArrowStream):
        return _read_arrow(type_name, type_, source, known)
    return _read_mappings(type_name, type_, source, known, sparse=sparse)


def count(source: Source, base: StrPath = ".") -> int | None:
    """Rows of a source, where it says so without being read, as files, lists and tables do; ``None`` otherwise.

    Raises as `read` does.
    """
    paths = paths_of(source, base)
    if paths is not None:
        return sum(_count_file(path) for path in paths)
    return len(source) if isinstance(source, Sized) else None


def paths_of(source: object, base: StrPath = ".") -> list[str] | None:
    """The files that a source names, ascending; ``None`` where it is no path. Raises `SourceError`."""
    if isinstance(source, str | os.PathLike):
        source = [source]
    if isinstance(source, Sequence) and source and all(isinstance(path, str | os.PathLike) for path in source):
        return _find(source, Path(base))
    return None


def is_read_once(source: object) -> bool:
    """Whether a source is gone once it was read: an iterator, or a reader of Arrow batches."""
    return isinstance(source, Iterator) or hasattr(source, "read_next_batch")


def _count_file(path: str) -> int:
    with _reading(path):
        return int(pyarrow().parquet.read_metadata(path).num_rows)


def _read_mappings(
    type_name: str, type_: Type, rows: object, known: Mapping[str, FieldType], *, sparse: bool
) -> Iterator[Stream]:
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        forms = "a path, a list of paths, Arrow data or an iterable of mappings"
        raise SourceError(f"[type.{type_name}]: a source is {forms}, not {type(rows).__name__}")
    resolved, batches = take_mappings(type_name, type_, rows, known, sparse=sparse)
    yield Stream(ITERABLE, resolved, batches)


def _read_arrow(type_name: str, type_: Type, source: ArrowStream, known: Mapping[str, FieldType]) -> Iterator[Stream]:
    with within(ARROW), _reading(ARROW):
        reader = pyarrow().RecordBatchReader.from_stream(source)
        resolved = resolve(type_name, type_, reader.schema, known)
    yield Stream(ARROW, resolved, _canonical(ARROW, resolved, reader))


def _read_files(type_name: str, type_: Type, paths: Sequence[str], known: Mapping[str, FieldType]) -> Iterator[Stream]:
    resolved = [_resolve_file(type_name, type_, path, known) for path in paths]
    for path, other in zip(paths, resolved, strict=True):
        _check_alike(paths[0], resolved[0], path, other)
    for path in paths:
        yield Stream(path, resolved[0], _canonical(path, resolved[0], _read_parquet(path)))


def _find(sources: Iterable[StrPath], base: Path) -> list[str]:
    found: set[str] = set()
    for source in sources:
        path = Path(base, source)
        # glob, unlike Path, leaves hidden files out: what is being written often is one
        matches = [str(source)] if path.exists() else glob.glob(str(source), root_dir=base, recursive=True)  # noqa: PTH207
        if not matches:
            raise SourceError(f"{path}: there is no such file")
        found.update(str(Path(base, match)) for match in matches)
    for name in found:
        if Path(name).is_dir():
            raise SourceError(f"{name}: a folder: name the files in it, as in {Path(name, '*.parquet')}")
        if not name.lower().endswith(SUFFIXES):
            way_out = "convert it to Parquet"
            if name.lower().endswith(CSV):
                way_out += f", or build from Python with pyarrow.csv.read_csv({name!r}) in sources="
            raise SourceError(f"{name}: of files, only Parquet ({', '.join(SUFFIXES)}) can be read: {way_out}")
    return sorted(found)


def _resolve_file(type_name: str, type_: Type, path: str, known: Mapping[str, FieldType]) -> ResolvedType:
    with within(path), _reading(path):
        return resolve(type_name, type_, pyarrow().parquet.read_schema(path), known)


def _check_alike(path: str, resolved: ResolvedType, other_path: str, other: ResolvedType) -> None:
    types, others = ({column.name: str(column.values) for column in each.columns} for each in (resolved, other))
    for name in sorted(types.keys() | others.keys()):
        here, there = types.get(name, "missing"), others.get(name, "missing")
        if here != there:
            way_out = "declare its type, or make the files alike"
            raise SchemaError(f'{other_path}: field "{name}" is {there}, but {here} in {path}: {way_out}')
    if resolved.kind != other.kind:
        kinds = f"{other.kind or 'text'}, but {resolved.kind or 'text'} in {path}"
        raise SchemaError(f'{other_path}: key "{other.key.name}" is {kinds}: declare its kind')


def _read_parquet(path: str) -> Iterator[pa.RecordBatch]:
    options = {"pre_buffer": False, "buffer_size": BUFFER, "page_checksum_verification": True}
    with pyarrow().parquet.ParquetFile(path, **options) as file:
        yield from file.iter_batches(BATCH, use_threads=True)


def _canonical(
    origin: str, resolved: ResolvedType, batches: Iterable[pa.RecordBatch]
) -> Generator[pa.RecordBatch, None, None]:
    row = 0
    with _reading(origin):
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH):
                piece = batch.slice(start, BATCH)
                yield _canonical_batch(origin, resolved, piece, row)
                row += piece.num_rows


def _canonical_batch(origin: str, resolved: ResolvedType, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
    schema = schema_of(resolved)
    fields = (partial(cast, values=field.values) for field in resolved.fields)
    casts = zip(schema.names, (partial(cast_key, resolved=resolved), *fields), strict=True)
    arrays = [take(batch.column(name), convert, name, origin, row) for name, convert in casts]
    return pyarrow().record_batch(arrays, schema=schema)


@contextmanager
def _reading(origin: str) -> Iterator[None]:
    try:
        yield
    except (pyarrow().ArrowException, OSError) as error:
        reason = str(error).partition(". Detail: ")[0]  # what follows is a traceback
        raise SourceError(f"{origin}: cannot be read: {reason}") from error
