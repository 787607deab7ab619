"""The manifest: what a version consists of, put together from what was declared, read and built."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bedeck.intake import Intake

__all__ = ["FORMAT", "Manifest", "assembled", "is_alike"]

FORMAT: Final = 1

Manifest = dict[str, Any]


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
                **_nulls(type_, intake.taken[type_["name"]].fields),
                "fields": intake.taken[type_["name"]].fields,
                "layers": [_layer(layer, type_["name"], version, parent) for layer in type_["layers"]],
            }
            for type_ in built
        },
    }


def _nulls(type_: Mapping[str, Any], fields: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    if "nulls" not in type_:
        return {}
    return {"nulls": {str(field["id"]): type_["nulls"][field["name"]] for field in fields}}


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
