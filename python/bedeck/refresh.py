"""Refreshes: a catalogue moves from one version to another, or stays where it is and says why."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, Protocol

from bedeck.errors import DamagedError, Error, FormatError, NotFoundError, SelectionError, StoreError
from bedeck.log import Entry, Ref
from bedeck.manifest import blobs_of
from bedeck.memory import Footprint, MemoryWarning, warn
from bedeck.origin import Origin
from bedeck.state import Choice, State, Verify
from bedeck.status import Event, Journal

__all__ = ["MOST_POLLS", "Refresher"]

MOST_POLLS: Final = 12  # between two tries, however often it has failed
LEAST_MANY: Final = 64  # selections from which on it is worth while to see which are gone

log = logging.getLogger("bedeck")

_refreshers: "weakref.WeakSet[Refresher]" = weakref.WeakSet()


class Stateful(Protocol):
    """A catalogue."""

    state: State


class Chosen(Protocol):
    """A selection: the type that it is of, and its fields."""

    name: str
    fields: tuple[str, ...]


class MisfitError(Exception):
    """There is no room in memory for two versions at a time."""


class Refresher:
    """Brings a catalogue from version to version, one refresh at a time. Whatever fails, it keeps the one it has."""

    def __init__(self, origin: Origin, verify: Verify, poll: float, *, overcommit: bool) -> None:
        self.origin = origin
        self.journal = Journal()
        self._verify = verify
        self._poll = poll
        self._overcommit = overcommit
        self._fixed = False
        self._settled = 0
        self._warned: Ref | None = None
        self._failed: Ref | None = None
        self._tries = 0
        self._rested = 0.0
        self._listeners: list[Callable[[Event], object]] = []
        self._selections: list[weakref.ref[Chosen]] = []
        self._many = LEAST_MANY
        self._here = 0
        self.unlock()
        _refreshers.add(self)

    def begin(self, version: int | None, wait: float, *, forgiving: bool) -> State:
        """The state to start with: of ``version``, or of what is served, waiting ``wait`` seconds for it to appear.

        Where it cannot be had, and ``forgiving`` is set: of the best that this host has.
        """
        self._fixed = version is not None
        until = time.monotonic() + wait
        while True:
            try:
                return self._begin(version, forgiving=forgiving)
            except StoreError:
                left = until - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(left, self._poll, 1))

    def refresh(self, catalogue: Stateful, *, again: bool = True) -> bool:
        """Move ``catalogue`` to what is served now; whether it moved.

        What failed before is tried again at once, or, if not ``again``, after some time. Raises what it fails for.
        """
        here = threading.get_ident()
        if self._fixed or self._here == here:  # in a signal handler, which came upon a refresh
            return False
        with self._refreshing:
            self._here = here
            try:
                event, error = self._refresh(catalogue, again=again)
            finally:
                self._here = 0
        if event is not None:
            self._tell(event)
        if error is not None:
            try:
                raise error
            finally:
                del error  # or what it was raised for would stay mapped until the next collection of garbage
        return event is not None and event.kind == "refreshed"

    def listen(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have ``callback`` told of each event, until what this gives is called."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    def enlist(self, selection: Chosen, catalogue: Stateful) -> None:
        """Compile ``selection``; from now on take only versions that can answer it, as long as it lives."""
        with self._moving:  # no version is taken in between
            catalogue.state.compiled(selection.name, selection.fields)
            if len(self._selections) >= self._many:
                self._selections = [known for known in self._selections if known()]
                self._many = 2 * len(self._selections) + LEAST_MANY
            self._selections.append(weakref.ref(selection))

    def unlock(self) -> None:
        """Have locks that nobody holds: of the threads that held them, none is in a forked child."""
        self._refreshing = threading.Lock()
        self._here = 0
        self._moving = threading.RLock()

    def _begin(self, version: int | None, *, forgiving: bool) -> State:
        entry: Entry | None = None
        ref: Ref | None = None
        try:
            if version is None:
                entry = self._look()
            ref = entry.served if entry else self._find(version)
            state = self._open(ref)
        except StoreError as error:
            if not forgiving:
                raise
            found = self._fall_back(version, ref)
            if found is None:
                raise
            state, entry = found
            self.journal.failed(str(error))
            log.warning("beginning with version %d of %s: %s", state.version, self.origin.place, str(error))
        else:
            self._settle(entry)
        self.journal.served(entry)
        return state

    def _fall_back(self, version: int | None, wanted: Ref | None) -> tuple[State, Entry | None] | None:
        """The best of what is kept here, never newer than what should be served: somebody may have rolled that back."""
        most = wanted.version if wanted else None
        for ref, entry in self.origin.kept(version):
            self.journal.head = self.journal.head or entry
            most = ref.version if most is None else most
            if ref.version <= most and ref != wanted:
                with suppress(StoreError):
                    return self._open(ref), entry
        return None

    def _refresh(self, catalogue: Stateful, *, again: bool) -> tuple[Event | None, Exception | None]:
        started = time.monotonic()
        old = catalogue.state
        ref: Ref | None = None
        try:
            entry = self._look()
            ref = entry.served
            if ref == old.files.ref:
                self._settle(entry)
                self.journal.well()
                return None, None
            if not again and ref == self._failed and time.monotonic() < self._rested:
                return None, None
            self._move(catalogue, ref)
        except Exception as error:  # noqa: BLE001 - whatever it is, the catalogue goes on
            return self._fail(old, ref, error, time.monotonic() - started)
        seconds = time.monotonic() - started
        self.journal.refreshed(entry, seconds)
        self.journal.well()
        self._settle(entry)
        log.info("version %d of %s instead of %d, in %.3f s", ref.version, self.origin.place, old.version, seconds)
        return Event("refreshed", old.version, ref.version, None, seconds), None

    def _fail(self, old: State, ref: Ref | None, error: Exception, seconds: float) -> tuple[Event, Exception | None]:
        refused = isinstance(error, SelectionError | MisfitError)
        version = ref.version if ref else None
        if ref is not None:
            self._tries = self._tries + 1 if ref == self._failed else 1
            self._failed = ref
            self._rested = time.monotonic() + self._poll * min(2**self._tries, MOST_POLLS)
        self.journal.failed(str(error), version if refused else None)
        # The error's text only: whoever keeps the record would keep the version mapped. Of what should never be, all.
        told = None if isinstance(error, Error | MisfitError) else error
        log.warning("still version %d of %s: %s", old.version, self.origin.place, str(error), exc_info=told)
        event = Event("refused" if refused else "failed", old.version, version, str(error), seconds)
        return event, None if isinstance(error, MisfitError) else error

    def _look(self) -> Entry:
        try:
            head = self.origin.head()
        except (DamagedError, FormatError):
            self.journal.heard(None)
            raise
        except StoreError:
            self.journal.unheard()
            raise
        self.journal.heard(head)
        if head is None:
            told = "its first build is still running, or did not finish"
            raise NotFoundError(f"nothing is announced in {self.origin.place} yet: {told}")
        return head

    def _find(self, version: int | None) -> Ref:
        try:
            ref = self.origin.resolve(version or 0)
        except (NotFoundError, DamagedError, FormatError):
            raise
        except StoreError:
            self.journal.unheard()
            raise
        self.journal.heard(None)
        return ref

    def _open(self, ref: Ref, before: State | None = None) -> State:
        manifest = self.origin.manifest(ref)
        footprint = Footprint(f"version {ref.version} of {self.origin.place}", dict(blobs_of(manifest)))
        if before is None or self._overcommit:
            footprint.tell_misfit()
        elif text := footprint.misfit():
            self._refuse(ref, f"{text}. Still version {before.version}; overcommit=True takes it all the same")
        files = self.origin.bring(ref, manifest)
        try:
            return files.open(self._verify, footprint, before)
        except DamagedError:
            mended = self.origin.mend(ref, manifest)
            if mended is None:
                raise
            return mended.open(self._verify, footprint, before)

    def _refuse(self, ref: Ref, text: str) -> NoReturn:
        if ref != self._warned:
            self._warned = ref
            with suppress(MemoryWarning):  # where it is an error
                warn(text)
        raise MisfitError(text)

    def _move(self, catalogue: Stateful, ref: Ref) -> None:
        old = catalogue.state
        new = self._open(ref, old)
        try:
            new.prepare(self._choices(), old)
            new.warm_like(old)
            with self._moving:  # no selection is made in between
                new.prepare(self._choices(), old)
                catalogue.state = new
        except SelectionError as error:
            told = f"version {ref.version} of {self.origin.place} is not taken, since a selection that is in use breaks"
            raise SelectionError(f"{told}: {error}. Announce one that has it, or begin anew without it") from error

    def _choices(self) -> list[Choice]:
        """What living selections select."""
        return [(known.name, known.fields) for reference in self._selections if (known := reference())]

    def _settle(self, entry: Entry | None) -> None:
        if entry is None or entry.number == self._settled:
            return
        try:
            self.origin.settle(entry)
        except StoreError as error:
            log.warning("cannot keep version %d of %s: %s", entry.served.version, self.origin.place, str(error))
        else:
            self._settled = entry.number

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("listener %r failed at %r", listener, event)


def _unlock_all() -> None:
    for refresher in tuple(_refreshers):
        refresher.unlock()


os.register_at_fork(after_in_child=_unlock_all)
