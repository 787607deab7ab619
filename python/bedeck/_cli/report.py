"""What the verbs tell: facts, which ``--json`` prints as they are, and the text made of them for people."""

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bedeck
from bedeck._cli.facts import Facts
from bedeck._cli.terminal import counted, heading, human, pairs, safe, table
from bedeck.memory import processes_of
from bedeck.store import LocalStore

__all__ = [
    "built",
    "built_text",
    "info",
    "info_text",
    "record_text",
    "synthesised",
    "synthesised_text",
    "verified",
    "verified_text",
]

OF_A_PROCESS = ("mapped", "pss", "shared", "private", "huge", "locked")
SMALL = 10_000  # records; below, costs that do not grow with a store are most of what it takes


def built(build: bedeck.Build, store: Path) -> Facts:
    """What a build did."""
    return {
        "path": str(store),
        "version": build.version,
        "bytes": build.bytes,
        "seconds": round(build.seconds, 3),
        "types": {
            name: {
                "rows": type_.rows,
                "records": type_.records,
                "dropped": type_.dropped,
                "bytes": type_.bytes,
                "bytes_per_record": _per(type_.bytes, type_.records),
                "key_kind": type_.key_kind,
                "dangling": {
                    field: {"references": uses, "keys": keys} for field, (uses, keys) in type_.dangling.items()
                },
            }
            for name, type_ in build.types.items()
        },
        "gone": list(build.gone),
        "notes": build.notes,
    }


def built_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    yield heading(
        f"{facts['path']}: version {facts['version']}, {human(facts['bytes'])}, built in {facts['seconds']:.1f} s"
    )
    rows = [("type", "key", "rows", "dropped", "records", "bytes", "a record")]
    for name, of in facts["types"].items():
        counts = (f"{of[member]:,}" for member in ("rows", "dropped", "records", "bytes"))
        rows.append((name, of["key_kind"], *counts, _number(of["bytes_per_record"])))
    yield from table(rows, numbers=range(2, 7))
    for name, of in facts["types"].items():
        for field, dangling in of["dangling"].items():
            yield (
                f"dangling: {name}.{safe(field)}: {counted(dangling['references'], 'reference')} "
                f"to {counted(dangling['keys'], 'key')} without a record"
            )
    for note in facts["notes"]:
        yield f"note: {note}"


def info(catalogue: bedeck.Catalogue, store: str) -> Facts:
    """What a version of the store at ``store`` holds, and what is in memory of it."""
    about, memory = catalogue.info(), catalogue.memory()
    members = ("namespace", "version", "bytes")
    types = {name: _type(of, memory["types"][name]) for name, of in about["types"].items()}
    facts = {"path": store, **{member: about[member] for member in members}, "types": types}
    return {**facts, "memory": _memory(catalogue, memory)}


def info_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    yield heading(f"{facts['path']}: version {facts['version']} of {facts['namespace']}, {human(facts['bytes'])}")
    for name, of in facts["types"].items():
        yield ""
        size, each = human(of["bytes"]), _number(of["bytes_per_record"])
        yield heading(f"{name}: {counted(of['records'], 'record')} in {size}, {each} bytes a record")
        yield (
            f"  key {safe(of['key']['field'])} ({of['key']['kind']}); "
            f"index {_number(of['index_bits_per_key'], 2)} bits a key, {_number(of['holes_percent'])} % holes"
            + (" (fixed costs of a small store)" if of["records"] < SMALL else "")
        )
        rows: list[tuple[str, ...]] = [("field", "type", "reference", "bytes", "a record", "nulls")]
        rows += [_field_row(field) for field in of["fields"]]
        yield from table(rows, numbers=range(3, 6))
        yield "  sections: " + ", ".join(f"{section} {human(size)}" for section, size in of["sections"].items())
    yield ""
    yield from _memory_text(facts["memory"], facts["bytes"])


def verified(catalogue: bedeck.Catalogue, store: str, seconds: float) -> Facts:
    """What a full check of the store at ``store`` covered."""
    memory = catalogue.memory()
    return {
        "path": store,
        "version": catalogue.version,
        "bytes": memory["bytes"],
        "seconds": round(seconds, 3),
        "types": {name: of["bytes"] for name, of in memory["types"].items()},
    }


def verified_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    yield (
        f"{facts['path']}: version {facts['version']} is whole: {facts['bytes']:,} bytes match their checksums, "
        f"read in {facts['seconds']:.2f} s"
    )


def synthesised(catalogue: Path, tracks: int, seed: int, seconds: float) -> Facts:
    """What was made up."""
    size = sum(file.stat().st_size for file in (catalogue, *catalogue.parent.glob("*.parquet")))
    return {"catalogue": str(catalogue), "tracks": tracks, "seed": seed, "bytes": size, "seconds": round(seconds, 3)}


def synthesised_text(facts: Facts) -> Iterable[str]:
    """The same for people."""
    tracks, size = counted(facts["tracks"], "track"), human(facts["bytes"])
    yield f"{facts['catalogue']}: {tracks}, {size}, made in {facts['seconds']:.1f} s"


def record_text(record: Mapping[str, Any]) -> list[str]:
    """A record for people, a field a line."""
    return pairs([(safe(name), _value(value)) for name, value in record.items()])


def _type(of: Mapping[str, Any], memory: Mapping[str, Any]) -> Facts:
    records, slots = of["records"], of["index"]["parts"] * of["index"]["slots"]
    bits = memory["index_bits_per_key"]
    return {
        "records": records,
        "bytes": memory["bytes"],
        "bytes_per_record": _per(memory["bytes"], records),
        "resident": memory["resident"],
        "key": {"field": of["key"]["field"], "kind": of["key"]["kind"]},
        "index_bits_per_key": None if bits is None else round(bits, 3),
        "holes_percent": _per(100 * memory["holes"], slots),
        "fields": [
            {
                "name": field["name"],
                "type": field["type"],
                "reference": field.get("reference"),
                "bytes": field["bytes"],
                "bytes_per_record": _per(field["bytes"], records),
                "nulls": field["nulls"],
            }
            for field in of["fields"]
        ],
        "sections": {
            name: section["length"] for name, section in sorted(of["sections"].items(), key=lambda of: of[1]["offset"])
        },
    }


def _memory(catalogue: bedeck.Catalogue, memory: Mapping[str, Any]) -> Facts:
    told = processes_of(LocalStore(catalogue.path).blobs(catalogue.state.files.manifest).values())
    seen = told and [
        {"pid": pid, "name": name, "this": pid == os.getpid(), **{member: of[member] for member in OF_A_PROCESS}}
        for pid, name, of in told.seen
    ]
    return {
        "resident": memory["resident"],
        "limit": memory["limit"],
        "processes": seen,
        "processes_unseen": told and told.unseen,
    }


def _memory_text(memory: Facts, size: int) -> Iterable[str]:
    resident, limit = memory["resident"], memory["limit"]
    here = "an unknown part" if resident is None else human(resident)
    allowed = f"; a process here may use {human(limit['bytes'])} ({safe(limit['by'])})" if limit else ""
    yield heading(f"memory: {here} of {human(size)} in the page cache{allowed}")
    if memory["processes"] is None:
        yield "  which processes have it open is not told by this system"
        return
    rows: list[tuple[str, ...]] = [("process", "name", *OF_A_PROCESS)]
    for of in memory["processes"]:
        name = safe(of["name"]) + (" (this)" if of["this"] else "")
        rows.append((str(of["pid"]), name, *("-" if of[m] is None else human(of[m]) for m in OF_A_PROCESS)))
    yield from table(rows, numbers=(0, *range(2, 2 + len(OF_A_PROCESS))))
    if unseen := memory["processes_unseen"]:
        yield f"  this user may not look into {unseen:,} of the processes on this system"


def _field_row(field: Mapping[str, Any]) -> tuple[str, ...]:
    reference = field["reference"]
    leads = f"{safe(reference['name'])} -> {reference['type']}" if reference else ""
    per, nulls = _number(field["bytes_per_record"]), f"{field['nulls']:,}"
    return safe(field["name"]), field["type"], leads, f"{field['bytes']:,}", per, nulls


def _per(amount: float, count: int) -> float | None:
    return round(amount / count, 3) if count else None


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _value(value: object) -> str:
    match value:
        case str():
            return safe(value)
        case None | bool():
            return json.dumps(value)
        case bytes():
            return base64.b64encode(value).decode()
        case Sequence():
            return ", ".join(map(_value, value))
        case _:
            return str(value)
