"""The machine that figures hold for."""

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which

__all__ = ["load", "stamp"]

_PACKAGES = ("bedeck", "pyarrow", "numpy", "orjson")
_RIVALS = ("lmdb", "rocksdict", "cdbx", "duckdb", "polars", "redis", "hiredis")


def stamp() -> dict[str, str]:
    """Name and value of what tells this machine and its software apart from others."""
    return {
        "processor": f"{os.cpu_count()} x {_processor()}{_cache()}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB{_huge_pages()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in _PACKAGES),
        "rivals": ", ".join(_rivals()),
    }


def load() -> float:
    """Processes running or waiting to run, on average over the last minute."""
    return os.getloadavg()[0]


def _rivals() -> Iterator[str]:
    for package in _RIVALS:
        with suppress(PackageNotFoundError):
            yield f"{package} {version(package)}"
    yield f"SQLite {sqlite3.sqlite_version}"
    if server := which("redis-server"):
        told = subprocess.run([server, "--version"], check=True, capture_output=True, text=True)  # noqa: S603 - ours
        yield f"redis-server {told.stdout.split('v=')[-1].split()[0]}"


def _processor() -> str:
    named = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _cache() -> str:
    size = _text("/sys/devices/system/cpu/cpu0/cache/index3/size").strip()
    return f", L3 {size}" if size else ""


def _huge_pages() -> str:
    chosen = re.search(r"\[(\w+)\]", _text("/sys/kernel/mm/transparent_hugepage/enabled"))
    return f", transparent huge pages: {chosen[1]}" if chosen else ""


def _text(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""
