"""What a service takes, and how long it takes for it."""

from dataclasses import dataclass
from typing import Final

__all__ = ["MOST_FIELDS", "Limits"]

MOST_FIELDS: Final = 1000  # of one type, in one request


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a service. Seconds, bytes, and numbers of things.

    ``bound`` is what an answer may take once all of its request is there, waiting included; a request may ask for less.
    One that would not be begun in time is refused with 503 at once, and so is one that comes while ``waiting`` others
    wait. ``ids`` and ``body`` are what a request may hold; a GET's are bounded by ``head`` as well.

    Of connections: ``header`` and ``received`` are what a client may take for the head and the body of a request,
    ``sent`` for taking an answer, ``idle`` for asking again. A worker has ``connections`` at the most, and once
    ``unread`` bytes wait for clients to take them, whoever has had the longest time to do so is parted with. ``linger``
    is how long a service that is to end goes on after it says that it is not ready, and ``drain`` how long what was
    begun may take then. ``max_age`` is what caches may keep the answer to a GET for without asking. Bodies of at
    least ``compress`` bytes are compressed for clients that take them so, none with 0: that takes ten times as long
    as the answer.
    """

    bound: float = 0.05
    waiting: int = 512
    ids: int = 10_000
    body: int = 1 << 20
    head: int = 32 << 10
    header: float = 10.0
    received: float = 30.0
    sent: float = 30.0
    idle: float = 75.0
    connections: int = 10_000
    unread: int = 256 << 20
    drain: float = 10.0
    linger: float = 0.0
    max_age: int = 0
    compress: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 0 if name in {"max_age", "drain", "linger", "compress"} else 1e-3
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise ValueError(f"{name}={value!r}: a number of at least {least:g} is expected")
