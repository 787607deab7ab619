"""What every peer is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.data import Data
from benchmarks.jobs import JOBS, Answer, Job

__all__ = ["Peer"]

_PAGE = 4096


class Peer(ABC):
    """One way to answer jobs, loaded and ready. Loading it is making one.

    * `jobs`: those it can do. If it is `fixed`, it holds finished answers to one job: each job is loaded by itself.
    * `bytes_a_track`: memory that preparing, loading and serving takes at the most, about.
    * `most_tracks`: what its format can hold, if that is less than memory allows.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    jobs: ClassVar[tuple[Job, ...]] = JOBS
    fixed: ClassVar[bool] = False
    bytes_a_track: ClassVar[int]
    most_tracks: ClassVar[int | None] = None
    mapped: Sequence[npt.NDArray[np.uint8]] = ()  # the bytes of the files

    @abstractmethod
    def __init__(self, data: Data, job: Job) -> None: ...

    @abstractmethod
    def answer(self, job: Job) -> Answer:
        """What answers that job, a list of ids at a time."""

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - for those that write files
        """Write what is served from, once for all processes, unless it is there; return it.

        What it was made of comes before it, but only what is last is served from.
        """
        return []

    @classmethod
    @contextmanager
    def running(cls, data: Data, job: Job) -> Iterator[int | None]:  # noqa: ARG003 - for those that need a server
        """Keep the server running that processes ask; its process id."""
        yield None

    def warm(self) -> None:
        """Touch what is served from files, so that it is in memory and mapped."""
        for file in self.mapped:
            file[::_PAGE].max()
