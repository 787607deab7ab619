"""Memory that a catalogue takes: what there is of it now, whether it fits, and what came of locking it."""

import errno
import json
import resource
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from bedeck import _smaps
from bedeck._core import Version
from bedeck._limit import memory_limit
from bedeck._smaps import Processes

__all__ = ["Footprint", "MemoryWarning", "Warmed", "memory_of", "processes_of", "warn"]

MORE = "more in docs/caveats.md, Memory"


class MemoryWarning(RuntimeWarning):
    """A catalogue does not fit the memory there is, or was not locked: answers stay right, and may take longer.

    ``warnings.simplefilter("error", bedeck.MemoryWarning)`` makes it an error.
    """


@dataclass(frozen=True, slots=True)
class Warmed:
    """What came of ``Catalogue.warm``: the ``bytes`` mapped into this process, and how many of them are ``locked``.

    These are all or none. ``refused`` says why there is none where locking was asked for, else it is ``None``.
    """

    bytes: int
    locked: int
    refused: str | None


def memory_of(core: Version) -> dict[str, Any]:
    """What ``Catalogue.memory`` tells."""
    files = core.residency()
    mapped = _smaps.own([(address, length) for _, address, length, _ in files])
    of_types: dict[str, list[dict[str, Any]]] = {}
    for (name, _, length, resident), of in zip(files, mapped, strict=True):
        of_types.setdefault(name, []).append({"bytes": length, "resident": resident, **of})
    types = {name: {**_together(of), **_spent(core, name)} for name, of in of_types.items()}
    limit = memory_limit()
    return {
        **_together(list(types.values())),
        "limit": limit and {"bytes": limit.bytes, "by": limit.by},
        "types": types,
    }


def processes_of(files: Iterable[Path]) -> Processes | None:
    """The processes of this system that map any of `files`; `None` where the system does not tell."""
    return _smaps.processes({path.name: path.stat().st_ino for path in files})


class Footprint:
    """The files that a version maps, sizes by name: whether they fit into memory, and can be locked there."""

    _open: ClassVar[WeakValueDictionary[int, "Footprint"]] = WeakValueDictionary()

    def __init__(self, what: str, files: Mapping[str, int]) -> None:
        self.what = what
        self.files = files
        self._told = False

    def count(self) -> None:
        """Have others count them too: they are open, as long as this lives."""
        self._open[id(self)] = self

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def tell_misfit(self) -> None:
        """Warn, once, where the files do not fit the memory that this process may use."""
        if not self._told and (text := self.misfit()):
            self._told = True
            warn(text)

    def unlockable(self) -> str | None:
        """Why it is not even tried to lock them: the system would end processes to make room."""
        text = self.misfit()
        return text and f"{self.what} is not locked in memory. {text}"

    def refused_lock(self, number: int) -> str:
        """Why the system refused to lock them, by the number of its error."""
        most = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        if number not in {errno.EPERM, errno.ENOMEM} or most == resource.RLIM_INFINITY:
            why = f"the system refused ({errno.errorcode.get(number, number)})"
        else:
            why = (
                f"it takes {self.bytes:,} bytes, but this process may lock {most:,} (RLIMIT_MEMLOCK). Raise that: "
                "LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for docker run, ulimit -l in a shell; or "
                "give it CAP_IPC_LOCK"
            )
        return f"{self.what} is not locked in memory: {why}. It is warm, and pages may be evicted; {MORE}"

    def misfit(self) -> str | None:
        """Why the files, with those of other versions that are open and the process itself, do not fit; else `None`."""
        limit = memory_limit()
        opened = [other.files for reference in self._open.valuerefs() if (other := reference())]
        others = {name: size for files in opened for name, size in files.items() if name not in self.files}
        beside = sum(others.values())
        own = _anonymous() or 0
        needed = self.bytes + beside + own
        if limit is None or needed <= limit.bytes:
            return None
        also = f", other versions that this process has open {beside:,}" if beside else ""
        return (
            f"{self.what} does not fit: it takes {self.bytes:,} bytes{also}, and the process itself {own:,}, but "
            f"{limit.by} allows {limit.bytes:,}. The system will evict pages that are in use, and look-ups will wait "
            f"for the disk. Allow {needed:,} bytes and more, or leave out fields; {MORE}"
        )


def warn(text: str) -> None:
    """Warn of it, at the line that called into this package."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - warnings count by frames too
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, MemoryWarning, stacklevel=level)


def _together(files: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of several files, or types."""
    resident = [of["resident"] for of in files]
    return {
        "bytes": sum(of["bytes"] for of in files),
        "resident": None if None in resident else sum(resident),
        **_smaps.added(files),
    }


def _spent(core: Version, name: str) -> dict[str, Any]:
    """What the bytes of a type's files are for."""
    directories = json.loads(core.directories(name))
    fields: Counter[str] = Counter()
    sections: Counter[str] = Counter()
    for directory in directories:
        fields.update({field["name"]: field["bytes"] for field in directory["fields"]})
        sections.update({section: of["length"] for section, of in directory["sections"].items()})
    base = directories[0]
    records = base["records"]
    return {
        "fields": dict(fields),
        "sections": dict(sections),
        "index_bits_per_key": 8 * base["sections"]["pilots"]["length"] / records if records else None,
        "holes": base["index"]["parts"] * base["index"]["slots"] - records,
    }


def _anonymous() -> int | None:
    """Bytes that this process has in memory of its own, not of files; `None` where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")]
    return found[0] if found else None
