"""A service to put load on, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import urlsplit

from bedeck.errors import StoreError

__all__ = ["Service", "private"]

PATIENCE: Final = 600.0
GRACE: Final = 2.0
LINES: Final = 5  # of the log, the last ones, are kept to be told


class Service:
    """``bedeck serve`` on a free port of this host, as a context: started, ready, and ended with it.

    It also ends where this process does, even by SIGKILL. Raises `StoreError` where it does not start.
    """

    def __init__(self, store: str, options: Sequence[str] = (), cpus: set[int] | None = None) -> None:
        self._command = [sys.executable, "-m", "bedeck._bench.tied", "serve", store, "--port", "0", *options]
        self._cpus = cpus
        self._said: deque[str] = deque(maxlen=LINES)
        self._told = threading.Event()  # where it is, or nothing any more
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - this very package
            self._command,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._listener = threading.Thread(target=self._listen, args=[self._process.stderr], daemon=True)
        self._listener.start()
        try:
            if self._cpus is not None:  # before it has threads and workers, which get the same
                os.sched_setaffinity(self._process.pid, self._cpus)
            self._told.wait()
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    @property
    def pid(self) -> int:
        """The process that looks after the others."""
        return self._process.pid

    def workers(self) -> list[int]:
        """The processes that answer."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def memory(self) -> int:
        """Bytes that the workers have to themselves: not those of the catalogue, which they share."""
        return sum(private(pid) for pid in self.workers())

    def _listen(self, log: IO[str]) -> None:
        """Read the log to its end: where nobody does, workers wait for that, and follow no store meanwhile."""
        try:
            with log:
                for line in log:
                    self._said.append(line)
                    if not self.url and '"message": "listening"' in line:
                        self.url = json.loads(line)["url"]
                        self._told.set()
        finally:
            self._told.set()

    def _last(self) -> str:
        """What it said last: lines that are no log, where there are some."""
        lines = self._said.copy()
        return " ".join(line.strip() for line in lines if line[0] != "{") or " ".join(lines) or "it said nothing"

    def _wait(self) -> None:
        if not self.url:
            raise StoreError(f"the service did not start: {self._last()}")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 - loopback
                    return
            except (OSError, urllib.error.URLError):
                if self._process.poll() is not None:
                    raise StoreError(f"the service ended before it was ready: {self._last()}") from None
                time.sleep(0.02)
        raise StoreError(f"the service was not ready within {PATIENCE:.0f} s")

    def _end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._listener.join(GRACE)


def private(pid: int) -> int:
    """Anonymous memory of a process, in bytes; 0 where it is not told."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
