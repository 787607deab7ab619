"""The time by which an answer has to be complete."""

import time

__all__ = ["left"]


def left(deadline: float | None) -> float | None:
    """Seconds until ``deadline``, a time of ``time.monotonic()``; ``None`` if there is none. Raises ``TypeError``."""
    try:
        return None if deadline is None else deadline - time.monotonic()
    except TypeError:
        raise TypeError(f"deadline={deadline!r}: a time of time.monotonic() is expected, in seconds") from None
