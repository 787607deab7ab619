"""What a process holds in memory, as the kernel counts it."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory"]

_ROLLUP = Path("/proc/self/smaps_rollup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of this process: `private` is its own (anonymous), `files` are mapped pages that all share."""

    private: int
    files: int

    @classmethod
    def now(cls) -> "Memory | None":
        """The memory of this process now; None where the kernel does not tell."""
        if not _ROLLUP.exists():
            return None
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in _ROLLUP.read_text().splitlines()[1:]}
        return cls(kilobytes["Anonymous"] * 1024, (kilobytes["Rss"] - kilobytes["Anonymous"]) * 1024)

    def since(self, before: "Memory") -> "Memory":
        """What has come on top."""
        return Memory(self.private - before.private, self.files - before.files)
