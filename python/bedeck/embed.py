"""JSON documents that hold rendered JSON, as it is."""

import json
import secrets
from typing import Any, Final

__all__ = ["Rendered", "document"]

MARK: Final = f"bedeck:{secrets.token_hex(16)}:"  # nobody can know it, so no text that comes from outside has it


class Rendered(bytes):
    """JSON in UTF-8, as `Records.decorate_json` and `Records.fragments` give it: to be put into a document unread."""

    __slots__ = ()


def document(value: Any) -> bytes:  # noqa: ANN401 - whatever json takes
    """``value`` as JSON in UTF-8: what `json.dumps` takes, with `Rendered` anywhere but as a key, put in as it is.

    Linear in the document. Raises what `json.dumps` raises, ``ValueError`` for a NaN or an infinity.
    """
    if isinstance(value, Rendered):
        return value
    parts: list[bytes] = []

    def put_aside(part: object) -> str:
        if not isinstance(part, Rendered):
            raise TypeError(f"{type(part).__name__} is not JSON")
        parts.append(part)
        return MARK

    text = json.dumps(value, default=put_aside, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    around = text.encode().split(f'"{MARK}"'.encode())
    return b"".join([piece for pair in zip(around, [*parts, b""], strict=True) for piece in pair])
