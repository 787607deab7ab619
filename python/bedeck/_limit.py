"""How much memory this process may use: the lowest of the limits of its cgroups and the memory of the machine."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Limit", "memory_limit"]

# By type of file system: what a folder of it says about its cgroup and those below, in files of a number or "max".
FILES = {"cgroup2": ("memory.max", "memory.high"), "cgroup": ("memory.limit_in_bytes",)}


@dataclass(frozen=True)
class Limit:
    """So many bytes, and what sets them."""

    bytes: int
    by: str


@dataclass(frozen=True)
class Mount:
    """Where cgroups are mounted; `top` is the cgroup that is seen at `point`, `kind` the type of file system."""

    kind: str
    top: str
    point: str


def memory_limit(root: Path = Path("/")) -> Limit | None:
    """The lowest limit there is; `None` where the system tells of none.

    A cgroup is limited by those it lies in as well; of them a container may see only its own. In cgroup v2
    ``memory.high`` counts like ``memory.max``: above it the kernel takes pages back all the time. ``root`` is where
    ``/proc`` and the mounts of cgroups are.
    """
    return min((*_of_cgroups(root), *_of_machine()), key=lambda limit: limit.bytes, default=None)


def _of_machine() -> Iterator[Limit]:
    try:
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # unknown to this system
        return
    if pages > 0 and page > 0:
        yield Limit(pages * page, "the memory of this machine")


def _of_cgroups(root: Path) -> Iterator[Limit]:
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="replace").splitlines()
        mounts = list(_mounts((root / "proc/self/mountinfo").read_text(errors="replace")))
    except OSError:
        return
    for line in lines:
        _, controllers, cgroup = (*line.split(":", 2), "", "")[:3]
        kind = "cgroup" if "memory" in controllers.split(",") else "cgroup2" if not controllers else None
        for mount in mounts:
            if cgroup and mount.kind == kind:
                yield from _of_folders(root, mount, cgroup)


def _of_folders(root: Path, mount: Mount, cgroup: str) -> Iterator[Limit]:
    """Limits of the cgroup and of all around it that are seen."""
    top = mount.top.rstrip("/")
    inside = cgroup.removeprefix(top) if cgroup == top or cgroup.startswith(f"{top}/") else ""
    names = [name for name in inside.split("/") if name]
    if ".." in names:  # it lies outside of what is mounted here, which then is all that can be told
        names = []
    for depth in range(len(names) + 1):
        folder = Path(mount.point, *names[:depth])
        for file in FILES[mount.kind]:
            number = _number(root / folder.relative_to("/") / file)
            if number is not None:
                yield Limit(number, f"{folder / file}")
    yield from _of_all_around(root, Path(mount.point, *names))


def _of_all_around(root: Path, folder: Path) -> Iterator[Limit]:
    """The lowest limit of a cgroup of v1 and of all that it lies in, be they seen or not."""
    try:
        stat = (root / folder.relative_to("/") / "memory.stat").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in stat:
        name, _, number = line.partition(" ")
        if name == "hierarchical_memory_limit" and number.isdecimal():
            yield Limit(int(number), f"{folder / 'memory.stat'}, hierarchical_memory_limit,")


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _mounts(text: str) -> Iterator[Mount]:
    """The mounts of cgroups: of v1 only that with the controller of memory (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        places, described = before.split(" "), after.split(" ")
        if described[0] == "cgroup2" or (described[0] == "cgroup" and "memory" in described[-1].split(",")):
            yield Mount(described[0], _unescaped(places[3]), _unescaped(places[4]))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
