"""The verbs that change what is served, and tell of it: versions, pin, unpin, rollback, gc."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import click

from bedeck._cli.facts import Facts, as_json, tell
from bedeck._cli.terminal import counted, heading, human, safe, table
from bedeck.errors import NotFoundError
from bedeck.log import Entry, Ref
from bedeck.objects import Stored
from bedeck.retention import GRACE, Collected
from bedeck.store import Store

__all__ = ["gc", "pin", "rollback", "unpin", "versions"]

KEEP = 5
HOUR = 3600.0

reason_why = click.option(
    "--reason", required=True, metavar="TEXT", help="Why: it stays in the log, for those who come after."
)


@click.command()
@click.argument("store")
@as_json
def versions(store: str, *, as_json: bool) -> None:
    """Tell which version is served and why, and which are kept.

    STORE is a path or a URL, as s3://bucket/prefix.
    """
    opened = Store.at(store)
    tell({"path": store, **standing(opened)}, versions_text, as_json=as_json)


@click.command()
@click.argument("store")
@click.argument("version", type=click.IntRange(min=1))
@reason_why
@as_json
def pin(store: str, version: int, *, reason: str, as_json: bool) -> None:
    """Have consumers serve VERSION until it is unpinned.

    Whatever is announced meanwhile; builds go on. STORE is a path or a URL, as s3://bucket/prefix.
    """
    tell(change(store, Store.at(store).pin(version, reason)), change_text, as_json=as_json)


@click.command()
@click.argument("store")
@reason_why
@as_json
def unpin(store: str, *, reason: str, as_json: bool) -> None:
    """Have consumers serve again what is announced.

    STORE is a path or a URL, as s3://bucket/prefix.
    """
    tell(change(store, Store.at(store).unpin(reason)), change_text, as_json=as_json)


@click.command()
@click.argument("store")
@click.argument("version", type=click.IntRange(min=1))
@reason_why
@as_json
def rollback(store: str, version: int, *, reason: str, as_json: bool) -> None:
    """Announce VERSION again, and build on it from now on.

    A pin stays. STORE is a path or a URL, as s3://bucket/prefix.
    """
    tell(change(store, Store.at(store).rollback(version, reason)), change_text, as_json=as_json)


@click.command()
@click.argument("store")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=KEEP,
    show_default=True,
    metavar="N",
    help="How many of the newest versions stay, besides what is announced and what is pinned.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE / HOUR,
    show_default=True,
    metavar="HOURS",
    help="For how long files stay that no version needs: a build may be about to announce them.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would go, and remove nothing.")
@as_json
def gc(store: str, *, keep: int, grace: float, dry_run: bool, as_json: bool) -> None:
    """Remove older versions, and what dead builds have left.

    What is announced and what is pinned always stays. STORE is a path or a URL, as s3://bucket/prefix.
    """
    collected = Store.at(store).collect(keep, grace=grace * HOUR, dry_run=dry_run)
    tell({"path": store, "dry_run": dry_run, **collection(collected)}, collection_text, as_json=as_json)


def standing(store: Store) -> Facts:
    """What is served, who saw to that, and what is kept."""
    head = store.newest()
    if head is None:
        raise NotFoundError(f"nothing is announced in {store.place} yet")
    cause = {"announced": by_whom(store, head.announced, "announce", "rollback"), "pinned": None}
    if head.pinned:
        cause["pinned"] = by_whom(store, head.pinned, "pin")
    kept = [asdict(info) for info in store.versions()]
    return {"entry": head.number, "served": head.served.version, **cause, "versions": kept}


def by_whom(store: Store, ref: Ref, *kinds: str) -> Facts:
    """Which entry had `ref` announced or pinned."""
    entry = next(entry for entry in store.history() if entry.kind in kinds)
    return {"version": ref.version, **told_of(entry)}


def told_of(entry: Entry) -> Facts:
    """Who made an entry, when and why."""
    reason = entry.details.get("reason")
    return {"entry": entry.number, "kind": entry.kind, "at": entry.at, "by": entry.by, "reason": reason}


def versions_text(facts: Facts) -> Iterable[str]:
    """What is served, for people."""
    announced, pinned = facts["announced"], facts["pinned"]
    yield heading(f"{facts['path']}: version {facts['served']} is served")
    if pinned:
        yield f"  version {pinned['version']} is pinned, {by(pinned)}"
    again = " again" if announced["kind"] == "rollback" else ""
    waits = ", and served once it is unpinned" if pinned and pinned["version"] != announced["version"] else ""
    yield f"  version {announced['version']} is announced{again}, {by(announced)}{waits}"
    yield ""
    rows: list[tuple[str, ...]] = [("version", "", "announced", "by", "bytes", "new")]
    for of in facts["versions"]:
        marks = ", ".join(mark for mark in ("served", "pinned", "announced") if of[mark])
        rows.append(
            (str(of["version"]), marks, safe(of["at"]), safe(of["by"]), human(of["bytes"]), human(of["written"]))
        )
    yield from table(rows, numbers=(0, 4, 5))
    for of in facts["versions"]:
        if of["damage"]:
            yield f"damage: version {of['version']}: {of['damage']}"


def by(told: Facts) -> str:
    """Who, when and why."""
    reason = f": {safe(told['reason'])}" if told["reason"] else ""
    return f"by {safe(told['by'])} at {safe(told['at'])}{reason}"


def change(path: str, entry: Entry) -> Facts:
    """What a pin, an unpin or a rollback has changed."""
    return {
        "path": path,
        **told_of(entry),
        "served": entry.served.version,
        "announced": entry.announced.version,
        "pinned": entry.pinned and entry.pinned.version,
    }


def change_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    served, announced, pinned = (f"version {facts[name]}" for name in ("served", "announced", "pinned"))
    match facts["kind"]:
        case "pin":
            yield heading(f"{facts['path']}: {served} is pinned, and served from now on")
            if facts["announced"] != facts["pinned"]:
                yield f"  {announced} is announced, and served once it is unpinned"
        case "rollback":
            yield heading(f"{facts['path']}: {announced} is announced again, and the next build goes on from it")
            if facts["pinned"] is None:
                yield f"  {served} is served from now on"
            else:
                yield f"  {pinned} stays pinned, and served until it is unpinned"
        case _:
            yield heading(f"{facts['path']}: nothing is pinned any more; {served} is announced, and served from now on")


def collection(collected: Collected) -> Facts:
    """What was removed, or would be."""
    return {
        "kept": collected.kept,
        "dropped": collected.dropped,
        "bytes": collected.bytes,
        "objects": sizes(collected.objects),
        "spared": sizes(collected.spared),
    }


def sizes(objects: Iterable[Stored]) -> list[Facts]:
    """Names and bytes of objects."""
    return [{"name": of.name, "bytes": of.size} for of in objects]


def collection_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    files = f"{counted(len(facts['objects']), 'file')}, {human(facts['bytes'])}"
    dropped, kept = listed(facts["dropped"]), listed(facts["kept"])
    if facts["dry_run"]:
        yield heading(f"{facts['path']}: would drop {dropped} and keep {kept}; would remove {files}")
    else:
        yield heading(f"{facts['path']}: dropped {dropped} and kept {kept}; removed {files}")
    yield from table([(of["name"], human(of["bytes"])) for of in facts["objects"]], numbers=(1,))
    if facts["spared"]:
        size = human(sum(of["bytes"] for of in facts["spared"]))
        yield f"spared: {counted(len(facts['spared']), 'file')}, {size}, that no version needs, but a build may"


def listed(numbers: Sequence[int]) -> str:
    """Version numbers, in words."""
    return f"version{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}" if numbers else "no version"
