"""The machine that figures hold for."""

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from shutil import which
from statistics import median
from time import perf_counter

__all__ = ["load", "stamp", "steadiness"]

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


def steadiness(core: int, seconds: float) -> str:
    """How steady a core is on which nothing else runs: for how long a loop of a millisecond takes a quarter longer."""
    before, took, ended = os.sched_getaffinity(0), [], perf_counter() + seconds
    os.sched_setaffinity(0, {core})
    while (begun := perf_counter()) < ended:
        sum(range(40_000))
        took.append(perf_counter() - begun)
    os.sched_setaffinity(0, before)
    least = 1.25 * median(took)
    spells = [sum(of) for slow, of in groupby(took, lambda one: one > least) if slow]
    share, longest = sum(spells) / sum(took), max(spells, default=0) * 1e3
    return f"core {core} was slower by a quarter or more for {share:.1%} of {seconds:.0f} s, at most {longest:.0f} ms"


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
