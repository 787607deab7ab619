"""What a catalogue tells of how it follows its store: its status, and events."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bedeck.log import Entry
from bedeck.origin import Origin
from bedeck.state import State

__all__ = ["Event", "Journal", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a catalogue follows its store, as of now; what each member means for whoever is on call: docs/following.md.

    ``version`` is served here; ``announced`` and ``pinned`` are what entry number ``entry`` of the log says, the newest
    that was heard of: a pin goes before what is announced. ``following`` tells whether anything watches the log.
    ``reachable`` is whether the store answered when it was last asked, ``heard`` how many seconds ago it last did;
    ``reachable`` is `None` in a process that leaves asking to the one it was forked from.

    ``age`` is the seconds since somebody announced, pinned or rolled back to what is served, and ``delay`` the seconds
    from that to the moment it was served here: of the clock here less that of whoever did it. Both are `None` where
    ``version=`` was named.

    ``refreshes`` counts the changes of version, and ``seconds`` is what the last one took, from hearing of it.
    ``failures`` counts what failed or was refused since the last good look at the store; ``error`` and ``error_at`` are
    the last of these, also once it is overcome. ``refused`` is the version that is not taken now, for ``error``'s
    reason, or `None`.

    ``bytes`` are those of the files that are served, ``downloaded`` those that this process has fetched from the store.
    """

    version: int
    announced: int | None
    pinned: int | None
    entry: int | None
    following: bool
    reachable: bool | None
    heard: float | None
    age: float | None
    delay: float | None
    refreshes: int
    seconds: float | None
    failures: int
    error: str | None
    error_at: str | None
    refused: int | None
    bytes: int
    resident: int | None
    downloaded: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that came of a refresh, for listeners.

    ``kind`` is ``"refreshed"``: ``new`` is served instead of ``old``; ``"failed"``: the store cannot be read, or what
    it announces is not whole; or ``"refused"``: ``new`` is not taken, since it would break a selection that is in use,
    or does not fit into memory. ``old`` is still served then, and ``error`` says why. ``new`` is `None` where it is not
    known. ``seconds`` is how long it took.
    """

    kind: Literal["refreshed", "failed", "refused"]
    old: int
    new: int | None
    error: str | None
    seconds: float


class Journal:
    """What came of looking at the store, as long as a catalogue lives."""

    def __init__(self) -> None:
        self.head: Entry | None = None
        self.silence = 0  # how often in a row the store did not answer
        self.refreshes = 0
        self.failures = 0
        self._since: Entry | None = None
        self._reachable = False
        self._heard: float | None = None
        self._delay: float | None = None
        self._seconds: float | None = None
        self._error: tuple[str, str] | None = None
        self._refused: int | None = None

    def heard(self, head: Entry | None) -> None:
        """The store answered; ``head`` is the newest entry of its log, if there is one and it was asked for."""
        self.head = head or self.head
        self.silence = 0
        self._reachable = True
        self._heard = time.monotonic()

    def unheard(self) -> None:
        """It did not."""
        self.silence += 1
        self._reachable = False

    def served(self, since: Entry | None) -> None:
        """What ``since`` says is served."""
        self._since = since

    def refreshed(self, since: Entry, seconds: float) -> None:
        """What ``since`` says is served instead of something else, after ``seconds``."""
        self._since = since
        self._delay = _seconds_since(since)
        self._seconds = seconds
        self.refreshes += 1

    def well(self) -> None:
        """What should be served is."""
        self.failures = 0
        self._refused = None

    def failed(self, text: str, refused: int | None = None) -> None:
        """It is not, and ``text`` says why; ``refused`` is the version that is whole, and was not taken."""
        self.failures += 1
        self._error = text, datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._refused = refused

    def status(self, state: State, origin: Origin, *, following: bool) -> Status:
        """The status of a catalogue that serves ``state``."""
        head, elsewhere = self.head, origin.heard()
        here = None if self._heard is None else time.monotonic() - self._heard
        files = state.core.residency()
        resident = [of for _, _, _, of in files]
        return Status(
            version=state.version,
            announced=head.announced.version if head else None,
            pinned=head.pinned.version if head and head.pinned else None,
            entry=head.number if head else None,
            following=following,
            reachable=self._reachable if elsewhere is None else None,
            heard=here if elsewhere is None else elsewhere,
            age=_seconds_since(self._since) if self._since else None,
            delay=self._delay,
            refreshes=self.refreshes,
            seconds=self._seconds,
            failures=self.failures,
            error=self._error[0] if self._error else None,
            error_at=self._error[1] if self._error else None,
            refused=self._refused,
            bytes=state.core.size(),
            resident=None if None in resident else sum(of for of in resident if of is not None),
            downloaded=origin.downloaded,
        )


def _seconds_since(entry: Entry) -> float | None:
    """By the clocks of two hosts, which may differ; `None` where the other one's time is none."""
    with suppress(ValueError):
        return (datetime.now(UTC) - datetime.fromisoformat(entry.at)).total_seconds()
    return None
