"""Time zones by the names that Arrow types give them."""

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bedeck.errors import SelectionError

__all__ = ["zone"]

OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


@cache
def zone(name: str) -> tzinfo:
    """The zone of an IANA name, of ``UTC``, or of an offset such as ``+02:00``.

    Raises `SelectionError` where this host does not know it.
    """
    if name in {"UTC", "Z", "Etc/UTC"}:
        return UTC
    try:
        if offset := OFFSET.fullmatch(name):
            sign, hours, minutes = offset.groups()
            distance = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-distance if sign == "-" else distance)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SelectionError(
            f"time zone {name!r} is not known on this host: install its time zone database, or the package tzdata"
        ) from error
