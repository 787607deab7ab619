"""docs/cli.md: its sections by verb, and the JSON they show."""

import json
import re
from pathlib import Path

__all__ = ["MANUAL", "SECTIONS", "documented", "shape"]

MANUAL = (Path(__file__).parent.parent / "docs" / "cli.md").read_text("utf-8")
SECTIONS = {part.split("\n")[0]: part for part in re.split(r"^## bedeck ", MANUAL, flags=re.MULTILINE)[1:]}


def shape(value: object) -> object:
    """What the members of JSON are called and of what type they are; of lists, by their first item."""
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case [first, *_]:
            return [shape(first)]
        case bool() | str():
            return type(value).__name__
        case int() | float():
            return "number"
        case _:
            return value


def documented(verb: str):
    """The JSON that docs/cli.md shows for a verb."""
    found = re.search(r"```json\n(.*?)```", SECTIONS[verb], re.DOTALL)
    assert found
    return json.loads(found[1])
