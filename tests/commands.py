"""Commands, run to their end."""

import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["ended", "python", "started", "verb"]


def started(*command: str | Path, **options: Any) -> subprocess.Popen[str]:
    """A command that runs, with the ``options`` of a process."""
    return subprocess.Popen(command, text=True, **options)  # noqa: S603 - the commands are those of the tests


def ended(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command, once it has ended, and what it said."""
    with started(*command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}) as process:
        said, complained = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, said, complained)


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What this Python does with ``arguments``, once it has ended."""
    return ended(sys.executable, *arguments)


def verb(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command of bedeck, once it has ended."""
    return python("-m", "bedeck", *arguments)
