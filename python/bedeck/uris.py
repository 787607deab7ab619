"""Lists of ids of several types, each written in full, as in ``spotify:track:4uLU6hMCjMI75M1A2tKUQC``."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final, Literal, Protocol

from bedeck._core import Compiled
from bedeck.deadline import left
from bedeck.errors import MissingKeyError, SelectionError, suggest
from bedeck.state import Files

__all__ = ["INTEGER", "Seen", "decorate", "decorate_json", "fragments"]

Fields = Mapping[str, tuple[str, ...] | None]
Missing = Literal["null", "drop", "error"]

INTEGER: Final = re.compile("0|-?[1-9][0-9]{0,19}", re.ASCII)


class Seen(Protocol):
    """A version, and selections compiled against it."""

    @property
    def files(self) -> Files:
        """Its files."""

    def compiled(self, name: str, fields: tuple[str, ...] | None) -> Compiled:
        """A selection."""


@dataclass(slots=True)
class Part:
    """The URIs of one type in a list: their places, and their keys."""

    of_integers: bool
    places: list[int] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)

    def add(self, place: int, text: str) -> None:
        """Note the key that ``text`` is; what can be no key has no record."""
        if not self.of_integers:
            self.keys.append(text)
        elif INTEGER.fullmatch(text):
            self.keys.append(int(text))
        else:
            return
        self.places.append(place)


def decorate(state: Seen, uris: Iterable[str], fields: Fields, missing: Missing, deadline: float | None) -> list[Any]:
    """A dict for each of ``uris``, in order, with the ``fields`` of its type.

    What is of none of these types has no record, as what is not in the catalogue. Where a URI fits two types, the one
    with more text around the key decides. Linear in the list.

    Raises `SelectionError` where a type has no ``uri``, that of another one, or keys of bytes; ``TypeError`` where a
    URI is no text.
    """
    return _each(Compiled.decorate, state, uris, fields, missing, deadline)


def decorate_json(state: Seen, uris: Iterable[str], fields: Fields, missing: Missing, deadline: float | None) -> bytes:
    """The same as one JSON array."""
    found = fragments(state, uris, fields, missing, deadline)
    return b"[%b]" % b",".join([b"null" if fragment is None else fragment for fragment in found])


def fragments(
    state: Seen, uris: Iterable[str], fields: Fields, missing: Missing, deadline: float | None
) -> list[bytes | None]:
    """The same as a JSON object for each."""
    return _each(Compiled.fragments, state, uris, fields, missing, deadline)


def _each(  # noqa: PLR0913, PLR0917 - those of the two above
    give: Callable[[Compiled, list[Any], str, float | None], list[Any]],
    state: Seen,
    uris: Iterable[str],
    fields: Fields,
    missing: Missing,
    deadline: float | None,
) -> list[Any]:
    if missing not in {"null", "drop", "error"}:
        raise ValueError(f'missing={missing!r}: expected "null", "drop" or "error"')
    if isinstance(uris, str):
        raise TypeError(f"uris must be a list, not one string: [{uris!r}]")
    asked = list(uris)
    answers: list[Any] = [None] * len(asked)
    for name, part in _parted(state, asked, fields).items():
        found = give(state.compiled(name, fields[name]), part.keys, "null", left(deadline))
        for place, record in zip(part.places, found, strict=True):
            answers[place] = record
    if missing == "drop":
        return [record for record in answers if record is not None]
    if missing == "error" and None in answers:
        place = answers.index(None)
        raise MissingKeyError(f"uris[{place}]: {asked[place]!r} is not in the catalogue, or of none of the types asked")
    return answers


def _parted(state: Seen, uris: Sequence[str], names: Iterable[str]) -> dict[str, Part]:
    patterns = {name: _pattern(state, name) for name in names}
    for name, other in combinations(patterns, 2):
        if patterns[name] == patterns[other]:
            raise SelectionError(
                f"types {name!r} and {other!r} have the same uri: a URI does not tell which one it is of"
            )
    ordered = sorted(patterns, key=lambda name: -sum(map(len, patterns[name])))
    parts = {name: Part(_kind(state, name) == "int") for name in ordered}
    match = re.compile("|".join("(.+)".join(map(re.escape, patterns[name])) for name in parts), re.DOTALL).fullmatch
    in_order = list(parts.values())
    for place, uri in enumerate(uris):
        try:
            found = match(uri)
        except TypeError:
            raise TypeError(f"uris[{place}]: text is expected, not {type(uri).__name__}") from None
        if found is not None and found.lastindex is not None:
            in_order[found.lastindex - 1].add(place, found[found.lastindex])
    return parts


def _pattern(state: Seen, name: str) -> tuple[str, str]:
    """What stands before and behind the key in the URIs of a type."""
    types = state.files.manifest["schema"]["type"]
    if name not in types:
        raise SelectionError(f"there is no type {name!r}{suggest(name, types)}")
    uri, key = types[name].get("uri"), types[name]["key"]
    held = f"{{{key if isinstance(key, str) else key['field']}}}"
    if uri is None:
        raise SelectionError(f'type {name!r} has no URIs: declare uri = "...:{held}" in its table, and publish again')
    if _kind(state, name) == "bytes":
        raise SelectionError(f"type {name!r} has keys of bytes, which no URI holds")
    before, _, after = uri.partition(held)
    return before, after


def _kind(state: Seen, name: str) -> str:
    return str(state.files.manifest["types"][name]["key"]["kind"])
