"""Manifests: what a version consists of, as in docs/format.md, 'The store'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from bedeck._core import blake3
from bedeck.errors import DamagedError, FormatError, NotFoundError
from bedeck.log import RECOVER, Ref, parse
from bedeck.objects import Objects

if TYPE_CHECKING:
    from bedeck.intake import Intake

__all__ = [
    "BLOB_NAME",
    "FORMAT",
    "MANIFEST_NAME",
    "Manifest",
    "assembled",
    "blobs_of",
    "is_alike",
    "manifest_name",
    "read_manifest",
]

Manifest = dict[str, Any]

FORMAT: Final = 1
LARGEST_BLOB: Final = 1 << 63  # bytes
MANIFEST_NAME: Final = re.compile(r"manifests/[0-9a-f]{64}\.json")
BLOB_NAME: Final = re.compile(r"blobs/[A-Za-z_][A-Za-z0-9_]*-[0-9a-f]{32}\.blob")


def read_manifest(objects: Objects, ref: Ref) -> dict[str, Any]:
    """The manifest of a version, verified by hash.

    Raises DamagedError, also where it is missing, or FormatError (not a manifest, or one of a newer bedeck).
    """
    what, place = f"manifest {ref.manifest}", f"{objects.place}/{manifest_name(ref.manifest)}"
    try:
        data = objects.get(manifest_name(ref.manifest))
    except NotFoundError:
        raise DamagedError(f"{what} is missing from {objects.place} (file {place}): {RECOVER}") from None
    if blake3(data) != ref.manifest:
        raise DamagedError(f"{what} of {objects.place} does not match its checksum (file {place}): {RECOVER}")
    manifest = parse(data)
    match manifest:
        case {"format": int(found)} if found > FORMAT:
            raise FormatError(f"{what} of {objects.place} is in format {found}: upgrade bedeck to read it")
        case {"format": 0}:
            raise FormatError(
                f"{what} of {objects.place} is in format 0, which was not to stay: build into a new store"
            )
        case {"format": int(found), "version": ref.version, "types": dict()} if found == FORMAT:
            return manifest
        case {"format": int()}:
            raise DamagedError(f"{what} of {objects.place} is not that of version {ref.version}: {RECOVER}")
        case _:
            raise FormatError(f"{place} is not a bedeck manifest: {RECOVER}")


def manifest_name(hashed: str) -> str:
    """The name of the object that holds the manifest with this hash."""
    return f"manifests/{hashed}.json"


def blobs_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and size of each blob that `manifest` names; DamagedError where it does not name them as it should."""
    for type_name, type_ in manifest["types"].items():
        match type_:
            case {"layers": [*layers]} if layers:
                yield from (blob_of(type_name, layer) for layer in layers)
            case _:
                raise DamagedError(f"the manifest gives no layers for type {type_name}: {RECOVER}")


def blob_of(type_name: str, layer: object) -> tuple[str, int]:
    """Name and size of the blob of `layer`; DamagedError where it does not name one as it should."""
    match layer:
        case {"blob": {"name": str(name), "size": int(size), "hash": str()}} if BLOB_NAME.fullmatch(f"blobs/{name}"):
            if 0 <= size < LARGEST_BLOB:
                return name, size
    raise DamagedError(f"the manifest names no proper blob for type {type_name}: {RECOVER}")


def assembled(
    intake: Intake,
    built: Iterable[Mapping[str, Any]],
    version: int,
    hashed: str | None,
    parent: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest of a version: ``built`` is what the builder says of types, ``parent`` the one before.

    ``hashed`` is the hash of that one. Layers that ``built`` has kept are taken from it.
    """
    recipe = intake.recipe
    return {
        "format": FORMAT,
        "namespace": recipe.schema.namespace,
        "version": version,
        "parent": hashed,
        "schema": recipe.declared or recipe.schema.to_mapping(),
        "next_field_id": intake.next_field_id,
        "types": {
            type_["name"]: {
                **{member: type_[member] for member in ("records", "digest", "epoch", "key")},
                "nulls": _nulls(type_, intake.taken[type_["name"]].fields),
                "fields": intake.taken[type_["name"]].fields,
                "layers": [_layer(layer, type_["name"], version, parent) for layer in type_["layers"]],
            }
            for type_ in built
        },
    }


def _nulls(type_: Mapping[str, Any], fields: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many records have no value in each field, by its id."""
    return {str(field["id"]): type_["nulls"][field["name"]] for field in fields}


def _layer(layer: Mapping[str, Any], name: str, version: int, parent: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if parent is not None and "kept" in layer:
        kept: Mapping[str, Any] = parent["types"][name]["layers"][layer["kept"]]
        return kept
    return {"version": version, **layer}


def is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions answer alike: the same types, of the same records, keys and fields, under the same names."""
    return _content(one) == _content(other)


def _content(manifest: Mapping[str, Any]) -> Manifest:
    members = ("records", "digest", "key", "fields")
    types = {name: {member: of[member] for member in members} for name, of in manifest["types"].items()}
    return {"namespace": manifest["namespace"], "types": types}
