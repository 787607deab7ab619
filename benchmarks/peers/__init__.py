"""The rivals: each as fast as we know how to make it, within what its name says."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from shutil import which
from typing import cast

from benchmarks.peers.peer import Peer

__all__ = ["RIVALS", "Peer", "Rival"]


@dataclass(frozen=True, slots=True)
class Rival:
    """A peer by its short name, the module and class that it is, and the packages and programs that it takes."""

    key: str
    where: str
    packages: Sequence[str] = ()
    programs: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """What is not installed of that."""
        packages = [package for package in self.packages if find_spec(package) is None]
        return packages + [program for program in self.programs if which(program) is None]

    def peer(self) -> type[Peer]:
        """The peer. Raises ImportError where something is missing."""
        module, name = self.where.split(":")
        return cast("type[Peer]", getattr(import_module(f"benchmarks.peers.{module}"), name))


RIVALS = (
    Rival("dicts", "dicts:DictOfDicts"),
    Rival("tuples", "dicts:DictOfTuples"),
    Rival("json", "rendered:DictOfJson"),
    Rival("arrow", "arrow:SortedArrow"),
    Rival("arrow-json", "rendered:ArrowOfJson"),
    Rival("pyarrow", "pyarrow:DictAndArrow"),
    Rival("polars", "polars:Polars", ["polars"]),
    Rival("lmdb", "lmdb:Lmdb", ["lmdb"]),
    Rival("rocksdb", "rocksdb:RocksDb", ["rocksdict"]),
    Rival("cdb", "cdb:Cdb", ["cdbx"]),
    Rival("sqlite", "sqlite:Sqlite"),
    Rival("duckdb", "duckdb:DuckDb", ["duckdb"]),
    Rival("redis", "redis:Redis", ["redis", "hiredis"], ["redis-server"]),
)
