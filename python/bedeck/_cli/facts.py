"""What a verb tells: facts, printed as they are with ``--json``, or as the text that is made of them for people."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import click

from bedeck._cli import output

__all__ = ["Facts", "as_json", "print_lines", "tell"]

Facts = dict[str, Any]

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def tell(facts: Facts, text: Callable[[Facts], Iterable[str]], *, as_json: bool) -> None:
    """Print facts, as JSON or as text."""
    if as_json:
        output.line(json.dumps(facts, ensure_ascii=False, indent=2).encode())
    else:
        print_lines(text(facts))


def print_lines(lines: Iterable[str]) -> None:
    """Print text."""
    for line in lines:
        output.line(line)
