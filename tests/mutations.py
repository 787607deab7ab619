"""Random changes of a forged store: each a place and a new value that somebody hostile, or careless, might choose."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from forgery import Blob, Forgery

__all__ = ["mutate"]

EDGES = sorted({0, *(2**bits + off for bits in (3, 8, 16, 26, 31, 32, 40, 56, 62, 63, 64) for off in (-1, 0, 1))})
KINDS = ["base62", "uuid", "int", "string", "bytes"]
WORDED = ("locator", "values", "prelude", "records", "heap", "changes", "places", "inserted")
TYPES = ["bool", "list<int8>", "list<binary>", "list<reference>", "reference", "list<date>", "timestamp[us]"]
WORDS = [
    *KINDS,
    *TYPES,
    "timestamp[us,Nowhere/Land]",
    "timestamp[s,../../etc]",
    "a.b",
    "",
    "\0",
    "track",
    "id",
    "base",
    "group",
    "overlay",
]
Place = tuple[dict[str, Any] | list[Any], Any]


def mutate(random: Random, forgery: Forgery) -> str:
    """Change one to four things in `forgery`; what was changed."""
    name = random.choice(sorted(forgery.blobs))
    blob = random.choice(forgery.blobs[name])
    kinds: list[Callable[[Random, Blob], str]] = [directory, section, words]
    chosen = sorted(random.choices(range(3), [3, 2, 1], k=random.choice([1, 1, 1, 2, 4])))  # JSON before it is no more
    changes = [kinds[kind](random, blob) for kind in chosen]
    return f"{name}: {'; '.join(changes)}"


def directory(random: Random, blob: Blob) -> str:
    """Change something in the JSON of the directory."""
    value = blob.directory
    told = json_value(random, value)
    blob.directory = value
    return f"directory {told}"


def section(random: Random, blob: Blob) -> str:
    """Change bytes of a section."""
    name = random.choice([name for name, part in blob.parts.items() if part])
    part = blob.parts[name]
    places = [random.randrange(len(part)) for _ in range(random.choice([1, 2, 8, 64]))]
    for place in places:
        flipped = part[place] ^ 1 << random.randrange(8)
        part[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, flipped, random.randrange(256)])
    return f"{name} bytes {places}"


def words(random: Random, blob: Blob) -> str:
    """Change a number of two, four or eight bytes in a section of numbers, or in the pointers among the records."""
    name = random.choice([name for name in WORDED if blob.parts.get(name)])
    part, width = blob.parts[name], random.choice([2, 4, 8])
    place = random.randrange(max(1, len(part) // width)) * width
    old = int.from_bytes(part[place : place + width], "little")
    new = number(random, old) % 2 ** (8 * width)
    part[place : place + width] = new.to_bytes(width, "little")[: len(part) - place]
    return f"{name} at {place}: {old} -> {new}"


def json_value(random: Random, whole: Any) -> str:
    """Change something in `whole`: most often a number."""
    places = list(places_in(whole))
    numbers = [(holder, at) for holder, at in places if isinstance(holder[at], int)]
    holder, at = random.choice(numbers if numbers and random.random() < 0.7 else places)
    old = holder[at]
    match old:
        case bool():
            new: Any = not old
        case int():
            new = number(random, old)
        case str():
            strings = [holder[at] for holder, at in places if isinstance(holder[at], str)]
            new = random.choice([*strings, *WORDS])
        case _:
            alike = [holder[at] for holder, at in places if type(holder[at]) is type(old)]
            new = deepcopy(random.choice([None, [], {}, 0, *alike, *alike]))
    if random.random() < 0.15 and isinstance(holder, dict):
        del holder[at]
        return f"without {at!r}"
    holder[at] = new
    return f"{at!r}: {old!r} -> {new!r}"


def places_in(value: Any) -> Iterator[Place]:
    """All places in a JSON value, as the object or array and the name or number in it."""
    match value:
        case dict():
            items: Any = value.items()
        case list():
            items = enumerate(value)
        case _:
            return
    for at, member in items:
        yield value, at
        yield from places_in(member)


def number(random: Random, old: int) -> int:
    near = [old + off for off in (-64, -8, -2, -1, 1, 2, 8, 64)]
    return random.choice([random.choice(near), old * 2, old // 2, random.choice(EDGES), -random.choice(EDGES)])
