"""Memory that a catalogue takes: what there is of it now, whether it fits, and what came of locking it."""

import errno
import json
import resource
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedeck import _smaps
from bedeck._core import Version
from bedeck._limit import memory_limit
from bedeck._smaps import Processes

__all__ = ["MemoryWarning", "Warmed", "memory_of", "misfit", "processes_of", "refused_lock", "unlockable", "warn"]

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
    types = {
        name: {"bytes": length, "resident": resident, **of, **_spent(core, name)}
        for (name, _, length, resident), of in zip(files, mapped, strict=True)
    }
    limit = memory_limit()
    told = [of["resident"] for of in types.values()]
    return {
        "bytes": core.size(),
        "resident": None if None in told else sum(told),
        **_smaps.added(list(types.values())),
        "limit": limit and {"bytes": limit.bytes, "by": limit.by},
        "types": types,
    }


def processes_of(files: Iterable[Path]) -> Processes | None:
    """The processes of this system that map any of `files`; `None` where the system does not tell."""
    return _smaps.processes({path.name: path.stat().st_ino for path in files})


def misfit(what: str, size: int) -> str | None:
    """Why files of `size` bytes do not fit the memory that this process may use; `None` where they do."""
    limit, own = memory_limit(), _anonymous() or 0
    if limit is None or size + own <= limit.bytes:
        return None
    return (
        f"{what} does not fit: it takes {size:,} bytes, and this process {own:,} besides, but {limit.by} allows "
        f"{limit.bytes:,}. The system will evict pages that are in use, and look-ups will wait for the disk. Allow "
        f"{size + own:,} bytes and more, or leave out fields; {MORE}"
    )


def unlockable(what: str, size: int) -> str | None:
    """Why files of `size` bytes are not even tried to be locked: the system would end processes to make room."""
    why = misfit(what, size)
    return why and f"{what} is not locked in memory. {why}"


def refused_lock(what: str, size: int, number: int) -> str:
    """Why the system refused to lock files of `size` bytes, by the number of its error."""
    most = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if number in {errno.EPERM, errno.ENOMEM} and most != resource.RLIM_INFINITY:
        return (
            f"{what} is not locked in memory: it takes {size:,} bytes, but this process may lock {most:,} "
            "(RLIMIT_MEMLOCK). Raise that: LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for docker "
            f"run, ulimit -l in a shell; or give it CAP_IPC_LOCK. It is warm, and pages may be evicted; {MORE}"
        )
    return (
        f"{what} is not locked in memory: the system refused ({errno.errorcode.get(number, number)}). It is warm, and "
        f"pages may be evicted; {MORE}"
    )


def warn(text: str, level: int) -> None:
    """Warn of it, at the line that called `level` functions up."""
    warnings.warn(text, MemoryWarning, stacklevel=level + 1)


def _spent(core: Version, name: str) -> dict[str, Any]:
    """What the bytes of a type's file are for."""
    directory = json.loads(core.directory(name))
    sections = {section: of["length"] for section, of in directory["sections"].items()}
    records = directory["records"]
    return {
        "fields": {field["name"]: field["bytes"] for field in directory["fields"]},
        "sections": sections,
        "index_bits_per_key": 8 * sections["pilots"] / records if records else None,
        "holes": directory["index"]["parts"] * directory["index"]["slots"] - records,
    }


def _anonymous() -> int | None:
    """Bytes that this process has in memory of its own, not of files; `None` where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")]
    return found[0] if found else None
