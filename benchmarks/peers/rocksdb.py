"""RocksDB with its plain table, made for reading from memory."""

from functools import partial
from pathlib import Path

from rocksdict import (
    AccessType,
    DBCompressionType,
    Options,
    PlainTableFactoryOptions,
    Rdict,
    SliceTransform,
    WriteBatch,
    WriteOptions,
)

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept

__all__ = ["RocksDb"]

_KEY = 22  # bytes
_BATCH = 10_000
_WRITE_BUFFER = 1 << 30


class RocksDb(Finished):
    """Id -> finished JSON object."""

    name = "RocksDB, plain table"
    about = (
        "rocksdict: id -> finished JSON object in the plain table format (mapped, hash index over the whole key, bloom "
        "filter), compacted into one level; one `get` of the whole list (`MultiGet`). A database for each job; a file "
        "has 2 GiB at most."
    )
    bytes_a_track = 1000
    most_tracks = 8_000_000

    def __init__(self, data: Data, job: Job) -> None:
        self._database = Rdict(str(_folder(data, job)), _options(), access_type=AccessType.read_only())
        self._get = self._database.get
        self.touch(data, job)

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Put all without a log, and compact."""
        return [render(data, job), kept(_folder(data, job), partial(_write, data, job))]

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One `get` a list."""
        found = self._get([id_.encode() for id_ in ids])
        return [b"null" if body is None else body for body in found]


def _write(data: Data, job: Job, folder: Path) -> None:
    database, batch, options = Rdict(str(folder), _options()), WriteBatch(raw_mode=True), WriteOptions()
    options.disable_wal = True
    for id_, body in pairs(data, job):
        batch.put(id_.encode(), body)
        if len(batch) == _BATCH:
            database.write(batch, options)
            batch = WriteBatch(raw_mode=True)
    database.write(batch, options)
    database.flush()
    database.compact_range(None, None)
    database.close()


def _options() -> Options:
    table = PlainTableFactoryOptions()
    table.user_key_length = _KEY
    table.bloom_bits_per_key = 10
    table.hash_table_ratio = 0.75
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict's way
    options.set_plain_table_factory(table)
    options.set_prefix_extractor(SliceTransform.create_fixed_prefix(_KEY))
    options.set_allow_mmap_reads(True)
    options.set_compression_type(DBCompressionType.none())
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_target_file_size_base(_WRITE_BUFFER)
    options.set_max_bytes_for_level_base(8 * _WRITE_BUFFER)
    options.increase_parallelism(2)
    return options


def _folder(data: Data, job: Job) -> Path:
    return data.peers / f"rocksdb-{job.name}"
