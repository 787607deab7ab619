"""The verbs of the command line, one function each."""

import csv
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

import bedeck
from bedeck._cli import output, report
from bedeck._cli.differences import diff
from bedeck._cli.exits import Verbs, ending_in_order
from bedeck._cli.facts import as_json, print_lines, tell
from bedeck._cli.ids import NoKeys, key_of, no_key, texts
from bedeck._cli.loading import bench, plan
from bedeck._cli.operations import gc, pin, rollback, unpin, versions
from bedeck._cli.publishing import publish
from bedeck._cli.serving import serve
from bedeck._cli.sizes import Size
from bedeck._cli.terminal import status
from bedeck.build import LEAST_MEMORY
from bedeck.errors import MissingKeyError, SchemaError
from bedeck.records import Missing
from bedeck.state import Verify

__all__ = ["verbs"]

MOST_TRACKS = 2**32 - 2

A_PATH = click.Path(path_type=Path)
of_version = click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="Another version than the announced one."
)


@click.group(
    "bedeck",
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="bedeck", message="%(prog)s %(version)s")
@click.pass_context
def verbs(context: click.Context) -> None:
    """Turn ids into metadata, from the whole catalogue, inside your own process."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@verbs.command()
@click.argument("catalogue", metavar="CATALOGUE.toml", type=A_PATH)
@click.argument("store", type=A_PATH)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="As many as there are cores by default.")
@click.option(
    "--memory", type=Size(LEAST_MEMORY), metavar="SIZE", help="As 4GiB or 500MB. Half of what there is by default."
)
@as_json
def build(catalogue: Path, store: Path, *, threads: int | None, memory: int | None, as_json: bool) -> None:
    """Build and announce the next version of STORE.

    CATALOGUE.toml names the types, their keys and references, and the files to read them from.
    """
    if catalogue.is_dir():
        raise SchemaError(f"{catalogue} is a folder: name its catalogue.toml")
    with status(f"building {store}") as progress:
        build = bedeck.build(catalogue, store, threads=threads, memory=memory, progress=progress)
    tell(report.built(build, store), report.built_text, as_json=as_json)


verbs.add_command(publish)


@verbs.command()
@click.argument("store")
@click.option("--warm", is_flag=True, help="Read all of it into memory first, and map it into this process.")
@of_version
@as_json
def info(store: str, *, warm: bool, version: int | None, as_json: bool) -> None:
    """Tell what STORE holds, and what it takes.

    That is what each type, field and section takes of the files, and what is in memory of them, by process. STORE is a
    path or a URL, as s3://bucket/prefix, whose files are fetched to the cache of this host first.
    """
    catalogue = _open(store, version)
    if warm:
        with status(f"warming {store}") as progress:
            catalogue.warm(progress)
    tell(report.info(catalogue, store), report.info_text, as_json=as_json)


@verbs.command()
@click.argument("store")
@click.argument("type_", metavar="TYPE")
@click.argument("key")
@of_version
@as_json
def get(store: str, type_: str, key: str, *, version: int | None, as_json: bool) -> None:
    """Print one record.

    STORE is a path or a URL, as s3://bucket/prefix, whose files are fetched to the cache of this host first. A KEY that
    starts with - goes behind a --, as in STORE TYPE -- -7.
    """
    catalogue = _open(store, version)
    records, kind = catalogue[type_], _kind(catalogue, type_)
    id_ = key_of(key, kind)
    if id_ is None:
        raise MissingKeyError(f"type {type_!r} has no record with key {key!r}")
    record = records[id_]
    if as_json:
        output.line(records.decorate_json([id_], list(record))[1:-1])
    else:
        print_lines(report.record_text(dict(record)))


@verbs.command()
@click.argument("store")
@click.argument("type_", metavar="TYPE")
@click.argument("ids", nargs=-1, required=True)
@click.option(
    "--fields",
    multiple=True,
    metavar="FIELD,...",
    help="What to tell of each record, as in title,album.artists.name; by default every field of its own.",
)
@click.option(
    "--missing",
    type=click.Choice(["null", "drop", "error"]),
    default="null",
    show_default=True,
    help="What becomes of ids that are not in the catalogue.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["json", "ndjson"]),
    default="json",
    show_default=True,
    help="One array, or a line for each id.",
)
@of_version
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def decorate(  # noqa: PLR0913 - each is an argument or an option
    store: str,
    type_: str,
    ids: tuple[str, ...],
    *,
    fields: tuple[str, ...],
    missing: Missing,
    format_: str,
    version: int | None,
    as_json: bool,
) -> None:
    """Print what is known of each id of a list.

    STORE is a path or a URL, as s3://bucket/prefix, whose files are fetched to the cache of this host first. IDS are
    keys of TYPE, separated by spaces; - stands for the lines of standard input. Ids that start with - go behind a --,
    after all options.
    """
    if as_json and format_ != "json":
        raise click.UsageError(f"--json is --format json, not {format_}.", click.get_current_context())
    chosen = _chosen(fields) if fields else None
    catalogue = _open(store, version)
    records, no_keys = catalogue[type_], NoKeys(_kind(catalogue, type_))
    keys = _keys(records, texts(ids), no_keys, missing)
    if format_ == "json":
        output.write(records.decorate_json(list(keys), chosen, missing=missing) + b"\n")
    else:
        _decorate_lines(records, keys, chosen, missing)
    if no_keys.count:
        click.echo(f"bedeck: {no_keys.note()}", err=True)


@verbs.command()
@click.argument("store")
@of_version
@as_json
def verify(store: str, *, version: int | None, as_json: bool) -> None:
    """Check every byte against its checksum.

    STORE is a path or a URL, as s3://bucket/prefix: of that, the files in the cache of this host are checked, and those
    that are not there are fetched.
    """
    started = time.monotonic()
    catalogue = _open(store, version, verify="always")
    tell(report.verified(catalogue, store, time.monotonic() - started), report.verified_text, as_json=as_json)


for operation in (versions, pin, unpin, rollback, diff, gc, serve, bench, plan):
    verbs.add_command(operation)


@verbs.command()
@click.argument("directory", metavar="DIR", type=A_PATH)
@click.option("--tracks", type=click.IntRange(1, MOST_TRACKS), required=True, metavar="N", help="How many tracks.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another seed, another catalogue.")
@as_json
def synth(directory: Path, *, tracks: int, seed: int, as_json: bool) -> None:
    """Make up a catalogue to try things with.

    It looks and weighs like a real one of music: Parquet files and a catalogue.toml, in DIR.
    """
    from bedeck.synth import synth  # noqa: PLC0415 - only here

    started = time.monotonic()
    with status(f"writing {directory}") as progress:
        catalogue = synth(directory, tracks, seed=seed, progress=progress)
    tell(
        report.synthesised(catalogue, tracks, seed, time.monotonic() - started),
        report.synthesised_text,
        as_json=as_json,
    )


@verbs.command()
@click.option(
    "--tracks",
    type=click.IntRange(1, MOST_TRACKS),
    default=1_000_000,
    show_default=True,
    metavar="N",
    help="How many tracks.",
)
@click.option("--keep", metavar="DIR", type=A_PATH, help="Leave the catalogue and the store in DIR.")
@as_json
def demo(*, tracks: int, keep: Path | None, as_json: bool) -> None:
    """See it work, and measure it, in a minute.

    Makes up a catalogue, builds a store, decorates playlists, and compares all that with a plain Python dict.
    """
    from bedeck.demo import demo  # noqa: PLC0415 - only here

    with ending_in_order():
        facts = demo(tracks, keep=keep, say=_ignore if as_json else output.line)
    if as_json:
        tell(facts, list, as_json=as_json)


def _open(store: str, version: int | None, verify: Verify = "once") -> bedeck.Catalogue:
    with status(f"opening {store}"):
        return bedeck.open(store, version=version, verify=verify)


def _kind(catalogue: bedeck.Catalogue, type_: str) -> str:
    return str(catalogue.info()["types"][type_]["key"]["kind"])


def _chosen(fields: Iterable[str]) -> list[str]:
    try:
        rows = list(csv.reader(fields, skipinitialspace=True))
    except csv.Error as error:
        raise click.UsageError(f"--fields cannot be read: {error}.", click.get_current_context()) from error
    if not all(row and all(row) for row in rows):
        raise click.UsageError("--fields has an empty name.", click.get_current_context())
    return [name for row in rows for name in row]


def _keys(records: bedeck.Records, ids: Iterable[str], no_keys: NoKeys, missing: Missing) -> Iterator[object]:
    for place, text in enumerate(ids):
        key = key_of(text, no_keys.kind)
        if key is not None:
            yield key
            continue
        if missing == "error":
            told = f'ids[{place}]: {text!r} is not in type "{records.name}"'
            raise MissingKeyError(f"{told}; --missing null or drop lets it pass")
        no_keys.add(text)
        yield no_key(no_keys.kind)


def _decorate_lines(
    records: bedeck.Records, keys: Iterable[object], chosen: list[str] | None, missing: Missing
) -> None:
    for place, key in enumerate(keys):
        try:
            line = records.decorate_json([key], chosen, missing=missing)[1:-1]
        except MissingKeyError as error:
            raise MissingKeyError(str(error).replace("ids[0]", f"ids[{place}]", 1)) from error
        if line:
            output.write(line + b"\n")


def _ignore(_line: str) -> None:
    """Where only facts are wanted."""
