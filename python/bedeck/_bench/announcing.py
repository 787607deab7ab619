"""Announcements while load is on: the two newest versions of a store, in turn."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bedeck.errors import BusyError, StoreError
from bedeck.store import Store

__all__ = ["announcing"]


@contextmanager
def announcing(store: Store, every: float, say: Callable[[str], object]) -> Iterator[Callable[[], int]]:
    """Announce one or the other every so many seconds; what is given tells how often that was done.

    What was announced before is announced in the end. Where somebody else announces a version meanwhile, that one is
    left alone, ``say`` is told, and no more is announced. Raises `StoreError` where there are not two versions.
    """
    versions = [info.version for info in store.versions() if not info.damage]
    head = store.newest()
    if len(versions) < 2 or head is None:  # noqa: PLR2004 - in turn
        raise StoreError(f"{store.place} has to have two versions, to go from one to the other: build it twice")
    before = head.announced.version
    other = next(version for version in sorted(versions, reverse=True) if version != before)
    ended = threading.Event()
    done: list[int] = []

    def announce() -> None:
        now, then = before, other
        try:
            while not ended.wait(every):
                done.append(store.rollback(then, "load test", instead=now).number)
                now, then = then, now
        except StoreError as error:
            say(f"no more is announced: {error}")

    thread = threading.Thread(target=announce, name="bedeck-announcing")
    thread.start()
    try:
        yield lambda: len(done)
    finally:
        ended.set()
        thread.join()
        if len(done) % 2:
            try:
                store.rollback(before, "load test ended", instead=other)
            except BusyError as error:
                say(f"version {before} is not announced again: {error}")
