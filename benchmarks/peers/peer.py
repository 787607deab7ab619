"""What every peer is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.data import Data
from benchmarks.jobs import Answer, Job

__all__ = ["Peer"]

_PAGE = 4096


class Peer(ABC):
    """One way to answer a job, loaded and ready: `answer` takes a list of ids. Loading it is making one."""

    name: ClassVar[str]
    about: ClassVar[str]
    answer: Answer
    mapped: Sequence[npt.NDArray[np.uint8]] = ()  # the bytes of the files

    @abstractmethod
    def __init__(self, data: Data, job: Job) -> None: ...

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - for those that write files
        """Write the files that are served from, once for all processes, and return them."""
        return []

    def warm(self) -> None:
        """Touch what is served from files, so that it is in memory and mapped."""
        for file in self.mapped:
            file[::_PAGE].max()
