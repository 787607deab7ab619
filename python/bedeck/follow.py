"""Following a store: a thread that looks at its log again and again, and has the catalogue moved."""

import atexit
import os
import sys
import threading
import weakref
from contextlib import suppress
from random import uniform
from typing import Final

from bedeck.refresh import MOST_POLLS, Refresher, Stateful

__all__ = ["Follower"]

JITTER: Final = 0.2
NICE: Final = 10  # a tenth of the share of a thread that is not
EXIT_SECONDS: Final = 1  # what a process that ends gives to a refresh, which may have begun to download gigabytes

_followers: "weakref.WeakSet[Follower]" = weakref.WeakSet()


class Follower:
    """Refreshes a catalogue every ``poll`` seconds, more or less, until it is stopped or the catalogue is gone.

    Where the store does not answer, waits twice as long each time, up to twelve polls. In a forked child, goes on with
    a thread of its own.
    """

    def __init__(self, catalogue: Stateful, refresher: Refresher, poll: float) -> None:
        self._refresher = refresher
        self._poll = poll
        self._start(catalogue)
        _followers.add(self)

    @property
    def running(self) -> bool:
        """Whether it has not been stopped."""
        return not self._stopped.is_set()

    def stop(self) -> None:
        """Look no more. A refresh that has begun still ends."""
        self._stopped.set()

    def _start(self, catalogue: Stateful) -> None:
        stopped = self._stopped = threading.Event()
        self._catalogue = weakref.ref(catalogue, lambda _: stopped.set())
        arguments = (self._catalogue, self._refresher, stopped, self._poll)
        self._thread = threading.Thread(target=_follow, args=arguments, name="bedeck-follow", daemon=True)
        self._thread.start()

    def restart(self) -> None:
        """Go on in a forked child, which has none of its parent's threads."""
        catalogue = self._catalogue()
        if catalogue is not None and self.running:
            self._start(catalogue)

    def join(self) -> None:
        """Wait for it to stop, for a moment."""
        self._thread.join(EXIT_SECONDS)


def _yield_to_readers() -> None:
    """Have this thread, and those it starts, take what the others leave of the processor: readers go first."""
    if sys.platform == "linux":  # where each thread has a priority of its own (sched(7))
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def _follow(reference: "weakref.ref[Stateful]", refresher: Refresher, stopped: threading.Event, poll: float) -> None:
    _yield_to_readers()
    while not stopped.wait(poll * min(2**refresher.journal.silence, MOST_POLLS) * uniform(1 - JITTER, 1 + JITTER)):  # noqa: S311 - it spreads load
        catalogue = reference()
        if catalogue is None:
            return
        with suppress(Exception):  # it was told and logged
            refresher.refresh(catalogue, again=False)
        del catalogue


def _restart_all() -> None:
    for follower in tuple(_followers):
        follower.restart()


def _stop_all() -> None:
    followers = tuple(_followers)
    for follower in followers:
        follower.stop()
    for follower in followers:
        follower.join()


os.register_at_fork(after_in_child=_restart_all)
atexit.register(_stop_all)
