"""The verb ``publish``, and what it prints."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

import bedeck
from bedeck._arrow import pyarrow
from bedeck._cli import output
from bedeck._cli.exits import ending_in_order
from bedeck._cli.facts import Facts, as_json, tell
from bedeck._cli.ids import NoKeys, key_of, texts
from bedeck._cli.sizes import Size
from bedeck._cli.terminal import counted, heading, human, note, safe, status, table
from bedeck.build import LEAST_MEMORY
from bedeck.cycle import Cycle, CycleType, Finding
from bedeck.errors import NotFoundError, RefusedError, SchemaError, SelectionError, SourceError, suggest
from bedeck.limits import DEFAULTS
from bedeck.store import Store

__all__ = ["publish"]

PARQUET = (".parquet", ".pq")


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with ``=`` between them."""

    name = "pair"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not (name and equals and text):
            self.fail(f"{value!r}: {param.metavar if param else 'NAME=TEXT'} is expected", param, ctx)
        return name, text


@click.command()
@click.argument("catalogue", metavar="CATALOGUE.toml", type=click.Path(path_type=Path))
@click.argument("store")
@click.option(
    "--update",
    "upserts",
    type=Pair(),
    multiple=True,
    metavar="TYPE=FILE",
    help="Only records that are new or other, of a type; all others stay. May be given again.",
)
@click.option(
    "--delete",
    "deletes",
    type=Pair(),
    multiple=True,
    metavar="TYPE=FILE",
    help="Only keys of records to delete: Parquet, or a key a line; - is standard input. May be given again.",
)
@click.option("--compact", is_flag=True, help="Write what there is into new files, which all consumers fetch anew.")
@click.option(
    "--allow",
    type=Pair(),
    multiple=True,
    metavar="NAME=REASON",
    help="Let pass what a validator finds; the reason goes into the log. May be given again.",
)
@click.option(
    "--annotate", type=Pair(), multiple=True, metavar="NAME=TEXT", help="Goes into the log. May be given again."
)
@click.option("--dry-run", is_flag=True, help="Do all but announce.")
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Remove all but the newest N versions afterwards."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="As many as there are cores by default.")
@click.option(
    "--memory", type=Size(LEAST_MEMORY), metavar="SIZE", help="As 4GiB or 500MB. Half of what there is by default."
)
@as_json
@click.pass_context
def publish(  # noqa: PLR0913 - each is an argument or an option
    context: click.Context,
    catalogue: Path,
    store: str,
    *,
    upserts: Sequence[tuple[str, str]],
    deletes: Sequence[tuple[str, str]],
    compact: bool,
    allow: Sequence[tuple[str, str]],
    annotate: Sequence[tuple[str, str]],
    dry_run: bool,
    keep: int | None,
    threads: int | None,
    memory: int | None,
    as_json: bool,
) -> None:
    """Announce what changed as the next version of STORE.

    What validators refuse is not announced. CATALOGUE.toml names the types, their keys and references, the files to
    read them from, and limits. STORE is a path or a URL, as s3://bucket/prefix.
    """
    if catalogue.is_dir():
        raise SchemaError(f"{catalogue} is a folder: name its catalogue.toml")
    if compact and (upserts or deletes or allow or dry_run):
        raise click.UsageError("--compact takes no --update, --delete, --allow and --dry-run.", context)
    with ending_in_order(), status(f"publishing to {store}") as progress:
        producer = bedeck.Producer(
            store, catalogue, keep=keep, threads=threads, memory=memory, progress=progress, say=note
        )
        noted, reasons = dict(annotate), _reasons(allow, context)
        try:
            if compact:
                cycle = producer.compact(annotations=noted)
            elif upserts or deletes:
                keys = _keys(producer.store, deletes)
                cycle = producer.update(_files(upserts), keys, annotations=noted, allow=reasons, dry_run=dry_run)
            else:
                cycle = producer.cycle(annotations=noted, allow=reasons, dry_run=dry_run)
        except RefusedError as error:
            if as_json:
                output.line(
                    json.dumps({"path": store, "refused": _findings(error.findings)}, ensure_ascii=False).encode()
                )
            raise
    tell(published(cycle, store), published_text, as_json=as_json)


def published(cycle: Cycle, store: str) -> Facts:
    """What a cycle did."""
    return {
        "path": store,
        "version": cycle.version,
        "parent": cycle.parent,
        "unchanged": cycle.unchanged,
        "dry_run": cycle.dry_run,
        "bytes": cycle.bytes,
        "seconds": round(cycle.seconds, 3),
        "attempts": cycle.attempts,
        "types": {name: _type(of) for name, of in cycle.types.items()},
        "gone": list(cycle.gone),
        "overrides": dict(cycle.overrides),
        "allowed": _findings(cycle.allowed),
        "annotations": dict(cycle.annotations),
    }


def published_text(facts: Facts) -> Iterator[str]:
    """The same for people."""
    before = f"version {facts['parent']}" if facts["parent"] else "nothing"
    took = f"in {facts['seconds']:.1f} s"
    if facts["unchanged"]:
        yield heading(f"{facts['path']}: nothing is new, {before} stays; found {took}")
        return
    if facts["dry_run"]:
        told = f"after {before} a version would be announced; {human(facts['bytes'])} of new files, built {took}"
    else:
        told = f"version {facts['version']} after {before}: {human(facts['bytes'])} of new files, published {took}"
    yield heading(f"{facts['path']}: {told}")
    names = ("added", "removed", "changed", "records", "bytes")
    rows: list[tuple[str, ...]] = [("type", "files", *names)]
    rows += [(name, of["kind"], *(f"{of[member]:,}" for member in names)) for name, of in facts["types"].items()]
    yield from table(rows, numbers=range(2, 2 + len(names)))
    yield from _notes(facts)


def _notes(facts: Facts) -> Iterator[str]:
    for name, of in facts["types"].items():
        for field, (uses, keys) in ((f, d["dangling"].values()) for f, d in of["fields"].items() if d["dangling"]):
            lost = f"{counted(uses, 'reference')} to {counted(keys, 'key')} without a record"
            yield f"dangling: {name}.{safe(field)}: {lost}"
    for finding in facts["allowed"]:
        reason = facts["overrides"][finding["validator"]]
        yield f"allowed: {safe(str(Finding(**{**finding, 'examples': ()})))} (because: {safe(reason)})"
    for name in facts["gone"]:
        yield f'note: type "{name}" is gone'


def _type(of: CycleType) -> Facts:
    fields = {
        name: {
            "nulls": field.nulls,
            "changed": field.changed,
            "dangling": {"references": field.dangling.uses, "keys": field.dangling.keys} if field.dangling.uses else {},
        }
        for name, field in of.fields.items()
    }
    return {**of.counts(), "key_kind": of.key_kind, "fields": fields}


def _findings(findings: Iterable[Finding]) -> list[Facts]:
    return [asdict(finding) for finding in findings]


def _reasons(allow: Sequence[tuple[str, str]], context: click.Context) -> dict[str, str]:
    for name, _ in allow:
        if name not in DEFAULTS:
            raise click.UsageError(
                f"--allow {name}: there is no such validator; known: {', '.join(DEFAULTS)}.", context
            )
    return dict(allow)


def _files(upserts: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Files by type, as this process names them."""
    files: dict[str, list[str]] = {}
    for name, file in upserts:
        files.setdefault(name, []).append(str(Path(file).absolute()))
    return files


def _keys(store: Store, deletes: Sequence[tuple[str, str]]) -> dict[str, list[object]]:
    """Keys by type: the key's column of Parquet files, or the lines of others."""
    if not deletes:
        return {}
    head = store.newest()
    if head is None:
        raise NotFoundError(f"nothing is announced in {store.place} yet that could be deleted from")
    types, keys = store.manifest(head.announced)["types"], dict[str, list[object]]()
    for name, file in deletes:
        if name not in types:
            raise SelectionError(f"--delete {name}={file}: there is no type {name!r}{suggest(name, types)}")
        key = types[name]["key"]
        read = _column(file, key["field"]) if file.endswith(PARQUET) else _lines(file, key["kind"])
        keys.setdefault(name, []).extend(read)
    return keys


def _column(file: str, field: str) -> list[object]:
    try:
        keys: list[object] = pyarrow().parquet.read_table(file, columns=[field])[field].to_pylist()
    except (pyarrow().ArrowException, KeyError, OSError) as error:
        raise SourceError(f'{file}: its column "{field}" cannot be read: {error}') from error
    return keys


def _lines(file: str, kind: str) -> Iterator[object]:
    no_keys = NoKeys(kind)
    lines = texts(["-"]) if file == "-" else Path(file).read_text(errors="surrogateescape").splitlines()
    for text in lines:
        key = key_of(text, kind)
        if key is None:
            no_keys.add(text)
        else:
            yield key
    if no_keys.count:
        note(no_keys.note().removeprefix("note: "))
