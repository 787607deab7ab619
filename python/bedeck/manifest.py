"""The manifest: what a version consists of, put together from what was declared, read and built."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bedeck.intake import Intake
from bedeck.schema import Schema

__all__ = ["FORMAT", "Manifest", "assembled", "is_alike"]

FORMAT: Final = 1

Manifest = dict[str, Any]


def assembled(
    schema: Schema, intake: Intake, built: Iterable[Mapping[str, Any]], *, version: int, parent: str | None
) -> Manifest:
    """The manifest of a version: ``parent`` is the hash of the one before, ``built`` what the builder says of types."""
    return {
        "format": FORMAT,
        "namespace": schema.namespace,
        "version": version,
        "parent": parent,
        "schema": schema.to_mapping(),
        "next_field_id": intake.next_field_id,
        "types": {
            type_["name"]: {
                **{member: type_[member] for member in ("records", "digest", "epoch", "key")},
                "fields": intake.taken[type_["name"]].fields,
                "layers": [{"version": version, **layer} for layer in type_["layers"]],
            }
            for type_ in built
        },
    }


def is_alike(one: Manifest, other: Manifest) -> bool:
    """Whether two versions answer alike: the same types, of the same records, keys and fields, under the same names."""
    return _content(one) == _content(other)


def _content(manifest: Manifest) -> Manifest:
    members = ("records", "digest", "key", "fields")
    types = {name: {member: of[member] for member in members} for name, of in manifest["types"].items()}
    return {"namespace": manifest["namespace"], "types": types}
