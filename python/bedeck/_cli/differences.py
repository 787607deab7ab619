"""The verb ``diff``, and what it prints."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

import bedeck
from bedeck._cli import output
from bedeck._cli.terminal import status
from bedeck.diff import Example, TypeDiff

__all__ = ["diff"]

WIDEST = 60


@click.command()
@click.argument("store")
@click.argument("before", metavar="A", type=click.IntRange(min=1))
@click.argument("after", metavar="B", type=click.IntRange(min=1), required=False)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type; may be given again.")
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="How many to show of each difference.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def diff(  # noqa: PLR0913 - each is an argument or an option
    store: str, before: int, after: int | None, *, types: tuple[str, ...], examples: int, as_json: bool
) -> None:
    """Tell what is different between version A of STORE and version B.

    B is the version that is served, where it is left out. Exit code 0, different or not.
    """
    with status(f"comparing versions of {store}") as progress:
        found = bedeck.diff(store, before, after, types=types or None, examples=examples, progress=progress)
    if as_json:
        output.line(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2, default=str).encode())
    else:
        for line in diff_text(found):
            output.line(line)


def diff_text(found: bedeck.Diff) -> Iterator[str]:
    """What a person reads of it."""
    yield f"version {found.before} to version {found.after}"
    for name, of in found.types.items():
        yield from type_text(name, of)


def type_text(name: str, of: TypeDiff) -> Iterator[str]:
    """A type: its counts, then each field that changed, the most changed first."""
    counts = f"{of.added:,} added, {of.removed:,} removed, {of.changed:,} changed, {of.same:,} the same"
    yield f"{name}: {counts}" + (f" ({of.note})" if of.note else "")
    for what, names in (("new field", of.new_fields), ("field gone", of.lost_fields)):
        for field in names:
            yield f"  {what}: {field}"
    for field, change in sorted(of.fields.items(), key=lambda item: -item[1].changed):
        if change.changed:
            yield f"  {field}: {change.changed:,} changed"
            yield from (f"    {shown(it.key)}: {shown(it.before)} -> {shown(it.after)}" for it in change.examples)
    yield from examples_text("added", [(it, it.after) for it in of.examples_added])
    yield from examples_text("removed", [(it, it.before) for it in of.examples_removed])


def examples_text(what: str, examples: Sequence[tuple[Example, Any]]) -> Iterator[str]:
    """Whole records that one version has and the other has not."""
    if examples:
        yield f"  {what}:"
        yield from (f"    {shown(example.key)}: {shown(record)}" for example, record in examples)


def shown(value: object) -> str:
    """A value in one line that is not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
