"""What the kernel says of mapped files, process by process: /proc/<pid>/smaps (proc_pid_smaps(5)), of Linux alone."""

import os
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MEMBERS", "Mapped", "Processes", "added", "own", "processes"]

HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ [0-9a-f]+ \S+ ([0-9]+) *(.*)")
PROC = Path("/proc")

# What is told of a mapping, and the lines that it is the sum of. Not `Locked`, which counts shared pages in part.
MEMBERS = {
    "mapped": ("Rss",),
    "pss": ("Pss",),
    "shared": ("Shared_Clean", "Shared_Dirty"),
    "private": ("Private_Clean", "Private_Dirty"),
    "huge": ("FilePmdMapped", "ShmemPmdMapped"),
    "locked": ("Rss",),
}

Mapped = dict[str, int | None]


@dataclass(frozen=True)
class Range:
    """A range of a process's addresses that a file is mapped to, and what is told of it, in bytes."""

    start: int
    inode: int
    name: str
    told: Mapped


@dataclass(frozen=True)
class Processes:
    """The processes that map files: of each its number, its name, and the sums over those files.

    ``unseen`` is how many more there are on this system of which the user may not know.
    """

    seen: list[tuple[int, str, Mapped]]
    unseen: int


def own(places: Sequence[tuple[int, int]]) -> list[Mapped]:
    """For each range of this process's addresses, start and length, what is told of it; `None` what is not told."""
    try:
        ranges = list(_ranges(PROC / "self/smaps"))
    except OSError:
        ranges = []
    told = []
    for start, length in places:
        here = [found.told for found in ranges if start <= found.start < start + length]
        told.append({member: _capped(value, length) for member, value in added(here).items()})
    return told


def processes(files: Mapping[str, int]) -> Processes | None:
    """The processes that map any of `files`, inodes by name; `None` on systems that do not tell."""
    if not (PROC / "self/smaps").exists():
        return None
    seen, unseen = [], 0
    for folder in sorted((path for path in PROC.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)):
        try:
            if not _maps(folder / "maps", files):
                continue
            told = [found.told for found in _ranges(folder / "smaps") if files.get(found.name) == found.inode]
            if told:
                seen.append((int(folder.name), (folder / "comm").read_text(errors="replace").strip(), added(told)))
        except PermissionError:
            unseen += 1
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    return Processes(seen, unseen)


def added(told: Sequence[Mapping[str, Any]]) -> Mapped:
    """The sum over mappings; a member is `None` where one of them does not tell it, or there is none."""
    return {member: _sum([of[member] for of in told]) for member in MEMBERS}


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _capped(value: int | None, length: int) -> int | None:
    """The last page of a file is mapped whole."""
    return None if value is None else min(value, length)


def _maps(path: Path, names: Container[str]) -> bool:
    """Whether it is worth while to read what is told of each mapping, which takes far longer."""
    return any(os.path.basename(line.rstrip("\n").removesuffix(" (deleted)")) in names for line in _lines(path))  # noqa: PTH119 - thousands of lines


def _ranges(path: Path) -> Iterator[Range]:
    header: re.Match[str] | None = None
    lines: dict[str, str] = {}
    for line in (*_lines(path), "0-0 ---- 0 0:0 0"):
        found = HEADER.match(line)
        if found is None:
            name, _, value = line.partition(":")
            lines[name] = value
            continue
        if header is not None:
            file = header[4].removesuffix(" (deleted)").rpartition("/")[2]
            yield Range(int(header[1], 16), int(header[3]), file, _told(lines))
        header, lines = found, {}


def _told(lines: Mapping[str, str]) -> Mapped:
    told = {member: _sum([_bytes(lines.get(name)) for name in names]) for member, names in MEMBERS.items()}
    flags = lines.get("VmFlags")
    if flags is None:
        told["locked"] = None
    elif "lo" not in flags.split():
        told["locked"] = 0
    return told


def _bytes(value: str | None) -> int | None:
    return None if value is None else int(value.split()[0]) * 1024


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        yield from file
