"""What processes hold in memory, as the kernel counts it."""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "anonymous", "room"]

_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of this process: `private` is its own (anonymous), `files` are mapped pages that all share.

    `proportional` counts both, a page that several processes have mapped as their share of it: summed over processes,
    shared pages count once.
    """

    private: int
    files: int
    proportional: int

    @classmethod
    def now(cls) -> "Memory | None":
        """The memory of this process now; None where the kernel does not tell."""
        rollup = Path("/proc/self/smaps_rollup")
        if not rollup.exists():
            return None
        told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in rollup.read_text().splitlines()[1:]}
        return cls(told["Anonymous"], told["Rss"] - told["Anonymous"], told["Pss"])

    def since(self, before: "Memory") -> "Memory":
        """What has come on top."""
        return Memory(self.private - before.private, self.files - before.files, self.proportional - before.proportional)


def anonymous(process: int) -> int:
    """Bytes of anonymous memory that a process has in RAM now; 0 where the kernel does not tell, or it is gone."""
    try:
        told = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("RssAnon:")), 0)


def room() -> int:
    """Bytes of memory that there may be: the machine's, or what its control group allows."""
    limits = [int(told) for path in _GROUPS if path.exists() and (told := path.read_text().strip()).isdigit()]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])
