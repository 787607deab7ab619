"""The files of a store, as `bedeck.reference` reads them: log entry -> manifest -> blobs, every checksum verified.

docs/format.md, "The store" and "The blob", says the same in prose. What does not fit raises `DamagedError`, what a
newer format wrote `FormatError`, each naming the file and the section.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from bedeck._blake3 import blake3
from bedeck._guard import Json, Section
from bedeck.errors import DamagedError, FormatError, NotFoundError

__all__ = ["Sections", "find_version", "read_blob", "read_manifest"]

FORMAT = 1
ENTRIES = ("announce", "rollback", "pin", "unpin", "collect")
MAGIC = b"\x89BEDECK\n"
SECTIONS = ("prelude", "pilots", "records", "heap", "values", "locator", "directory")
OVERLAY_SECTIONS = (*SECTIONS[:-1], "changes", "places", "inserted", "directory")
CHUNK, ALIGNMENT, PRELUDE = 4 << 20, 64, 64

Sections = Mapping[str, Section]


def find_version(root: Path, version: int | None) -> Json:
    """What the newest log entry has pinned, or else announced; or what the newest one has that names `version`."""
    numbers = [int(path.stem) for path in (root / "log").glob("*.json") if re.fullmatch(r"[0-9]{10}", path.stem)]
    for number in range(max(numbers, default=0), 0, -1):
        entry = read_entry(root / "log" / f"{number:010}.json", number)
        if entry["kind"].text() == "collect" and version in [
            of.integer() for of in entry["details"]["versions"].items()
        ]:
            raise NotFoundError(f"{root}: version {version} is not kept any more, as entry {number} of its log says")
        refs = [ref for ref in (entry["pinned"], entry["announced"]) if ref.value is not None]
        for ref in refs:
            if version is None or ref["version"].integer() == version:
                return ref
    raise NotFoundError(f"{root}: no version {'' if version is None else f'{version} '}is announced in its log")


def read_entry(path: Path, number: int) -> Json:
    """Log entry `number`, its checksum verified."""
    line, _, seal = read_file(path).partition(b"\n")
    if seal != b"blake3:" + blake3(line).hex().encode() + b"\n":
        raise DamagedError(f"{path}: entry: does not have the checksum it ends with")
    entry = Json.parse(f"{path}: entry", line)
    if entry["kind"].text() not in ENTRIES:
        raise FormatError(f"{path}: entry.kind: {entry['kind'].text()!r} is not known in format {FORMAT}")
    if entry["entry"].integer() != number:
        raise entry["entry"].damaged("is not the number the file is named by")
    return entry


def read_manifest(root: Path, ref: Json) -> Json:
    """The manifest of a version, its checksum verified."""
    name = ref["manifest"].hex(64)
    path = root / "manifests" / f"{name}.json"
    data = read_file(path)
    if blake3(data).hex() != name:
        raise DamagedError(f"{path}: manifest: does not have the checksum it is named by")
    manifest = Json.parse(f"{path}: manifest", data)
    if manifest["format"].integer() != FORMAT:
        raise FormatError(f"{path}: manifest.format: is {manifest['format'].integer()}; this reader knows {FORMAT}")
    if manifest["version"].integer() != ref["version"].integer():
        raise manifest["version"].damaged("is not the version the log says it is")
    return manifest


def read_blob(root: Path, type_name: str, layer: Json) -> tuple[Sections, Json]:
    """The sections of a layer's blob, without their padding, and its directory; all checksums verified."""
    blob, kind = layer["blob"], layer["kind"].text()
    name = blob["name"].text()
    if name != f"{type_name}-{blob['hash'].hex(64)[:32]}.blob" or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", type_name):
        raise blob["name"].damaged("is not made of the type's name and the blob's hash")
    path = root / "blobs" / name
    data = read_file(path)
    if data[:8] != MAGIC:
        raise FormatError(f"{path}: prelude: not a bedeck blob, it does not start with the magic bytes")
    padded = verify_sections(path, data, blob, OVERLAY_SECTIONS if kind == "overlay" else SECTIONS)
    directory = read_directory(padded)
    for member, expected in (("type", type_name), ("kind", kind)):
        if directory[member].text() != expected:
            raise directory[member].damaged(f"is not {expected!r}, as in the manifest")
    names = [name for name in padded if name not in ("prelude", "directory")]
    return {name: trim_section(name, padded, directory["sections"][name]) for name in names}, directory


def verify_sections(path: Path, data: bytes, blob: Json, names: tuple[str, ...]) -> Sections:
    """The sections that the manifest lists, padding included: they cover the file, and every chunk has its hash."""
    if len(data) != blob["size"].integer():
        raise DamagedError(f"{path}: size: {len(data)} bytes, not {blob['size'].integer()}")
    if [listed["name"].text() for listed in blob["sections"].items()] != list(names):
        raise blob["sections"].damaged(f"are not {', '.join(names)}")
    whole, sections = Section(str(path), "file", data), {}
    hashes, position = b"", 0
    for name, listed in zip(names, blob["sections"].items(), strict=True):
        if listed["offset"].integer() != position:
            raise listed["offset"].damaged(f"is not {position}, where the section before it ends")
        length = listed["length"].integer()
        section = sections[name] = Section(str(path), name, whole.take(position, length))
        chunks = [blake3(section.data[at : at + CHUNK]) for at in range(0, length, CHUNK)]
        if [chunk.hex() for chunk in chunks] != [chunk.hex(64) for chunk in listed["chunks"].items()]:
            raise section.damaged("does not have the checksums of the manifest")
        hashes, position = hashes + b"".join(chunks), position + length
    if position != len(data):
        raise blob["sections"].damaged(f"end at {position}, the file at {len(data)}")
    if blake3(hashes).hex() != blob["hash"].hex(64):
        raise blob["hash"].damaged("is not the hash of the chunks' hashes")
    return sections


def read_directory(padded: Sections) -> Json:
    """The directory, which is where the prelude says."""
    prelude, directory = padded["prelude"], padded["directory"]
    version, zero, offset, length = struct.unpack("<8xIIQQ", prelude.take(0, 32))
    if version != FORMAT:
        raise FormatError(f"{prelude.file}: prelude: is of format {version}; this reader knows {FORMAT}")
    if zero or any(prelude.data[32:]) or len(prelude.data) < PRELUDE:
        raise prelude.damaged("does not end with zeros")
    if (offset, length) != (start_of("directory", padded), len(directory.data)):
        raise prelude.damaged(f"says the directory is {length} bytes at {offset}")
    return Json.parse(f"{directory.file}: directory", directory.data)


def trim_section(name: str, padded: Sections, listed: Json) -> Section:
    """A section's useful bytes, which the directory tells: aligned, and followed by zeros."""
    section, offset, length = padded[name], listed["offset"].integer(), listed["length"].integer()
    if offset != start_of(name, padded) or offset % ALIGNMENT:
        raise listed.damaged("is not where the manifest says, or not aligned")
    useful = section.take(0, length)
    if any(section.data[length:]):
        raise section.damaged("is not padded with zeros")
    return Section(section.file, name, useful)


def start_of(name: str, padded: Sections) -> int:
    names = list(padded)
    return sum(len(padded[earlier].data) for earlier in names[: names.index(name)])


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None
