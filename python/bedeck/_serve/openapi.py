"""What a service offers, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) and as a page that needs no network."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from bedeck._core import VERSION
from bedeck._serve.limits import MOST_FIELDS, Limits
from bedeck._serve.message import REASONS

if TYPE_CHECKING:
    from bedeck._serve.api import Sought

__all__ = ["described", "page"]

Schema = dict[str, Any]

KINDS: Final = {"int": "integer", "base62": "string", "uuid": "string", "string": "string", "bytes": "string"}
PROBLEMS: Final = {
    400: "The request cannot be read.",
    404: "There is nothing there.",
    408: "The request did not come in time.",
    413: "The request is too large.",
    414: "The target is too long: ask with POST.",
    422: "The request asks for what there is not.",
    431: "The headers are too long.",
    503: "There is no version yet, or no time for one more request: ask again after Retry-After.",
    504: "The answer was not complete in time.",
}
MISSING: Final[Schema] = {
    "type": "string",
    "enum": ["null", "drop", "error"],
    "default": "null",
    "description": "What becomes of an id without a record: null in its place, nothing, or a 404 for all.",
}
PARTIAL: Final[Schema] = {
    "type": "boolean",
    "default": False,
    "description": "Rather than a 504 have what was complete in time; the header bedeck-answered says for how many.",
}
VERSIONED: Final[Schema] = {
    "bedeck-version": {"description": "The version of the catalogue.", "schema": {"type": "integer"}}
}


def described(sought: "Sought", limits: Limits) -> bytes:
    """The OpenAPI document of a version."""
    return json.dumps(_document(sought, limits)).encode()


def page(sought: "Sought", limits: Limits) -> bytes:
    """The same for people, in one file of HTML."""
    document = _document(sought, limits)
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>{_table(operation)}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "code,pre{font-family:ui-monospace,monospace;background:#f4f4f4;padding:.1em .3em}"
        "pre{padding:1em;overflow:auto}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}"
        f"</style><h1>{title}</h1><p>{escape(document['info']['description'])} "
        f'<a href="openapi.json">openapi.json</a></p>{"".join(parts)}</html>'
    ).encode()


def _table(operation: Mapping[str, Any]) -> str:
    rows = [
        (of["name"], of["in"], of.get("description", ""), json.dumps(of["schema"]))
        for of in operation.get("parameters", [])
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    rows += [(name, "body", of.get("description", ""), json.dumps(of)) for name, of in _members(body)]
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    example = f"<pre>{escape(json.dumps(body['example']))}</pre>" if body else ""
    answers = ", ".join(f"{code} {of['description']}" for code, of in operation["responses"].items())
    table = f"<table><tr><th>name<th>in<th>what<th>schema</tr>{cells}</table>" if rows else ""
    return f"{table}{example}<p>{escape(answers)}</p>"


def _members(body: Mapping[str, Any]) -> list[tuple[str, Schema]]:
    return list(body["schema"]["properties"].items()) if body else []


def _document(sought: "Sought", limits: Limits) -> Schema:
    manifest = sought.files.manifest
    paths: Schema = {}
    for name, of in manifest["types"].items():
        paths |= _of_type(name, of, limits)
    uris = {name: of["uri"] for name, of in manifest["schema"]["type"].items() if of.get("uri")}
    if uris:
        paths["/v1/decorate"] = {"post": _mixed(uris, manifest["types"], limits)}
    for path, summary in (
        ("/livez", "Whether the process answers."),
        ("/readyz", "Whether there is a version to serve."),
        ("/metrics", "Numbers for Prometheus."),
    ):
        paths[path] = {"get": _vital(path, summary)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"bedeck: {manifest['namespace']}",
            "version": VERSION,
            "description": f"Metadata for ids, from version {sought.state.version} of the catalogue.",
        },
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


def _of_type(name: str, of: Mapping[str, Any], limits: Limits) -> Schema:
    key, record = {"type": KINDS[of["key"]["kind"]]}, _record(of["fields"])
    numbers = key["type"] == "integer"
    fields = _fields(of["fields"])
    missing = {"name": "missing", "in": "query", "schema": MISSING}
    chosen = {"name": "fields", "in": "query", "style": "form", "explode": False, "schema": fields}
    listed = {"type": "array", "items": {"type": ["object", "null"], "properties": record["properties"]}}
    ids = {"type": "array", "items": key, "maxItems": limits.ids, "description": "In the order of the answer."}
    example = {"ids": [1, 2] if numbers else ["...", "..."], "fields": fields["examples"][0]}
    query_ids = {"name": "ids", "in": "query", "required": True, "style": "form", "explode": False, "schema": ids}
    path = name.replace("{", "%7B").replace("}", "%7D")
    decorate = {
        f"/v1/{path}/decorate": {
            "post": {
                "summary": f"A record of {name} for each id, null where there is none.",
                "requestBody": _body({"ids": ids, "fields": fields, **_REST}, ["ids"], example),
                "responses": _responses(listed, 400, 404, 408, 413, 422, 431, 503, 504, lines=True),
            }
        }
    }
    return {
        **(decorate if of["key"]["kind"] != "bytes" else {}),
        f"/v1/{path}": {
            "get": {
                "summary": f"The same, for caches: a record of {name} for each id.",
                "parameters": [query_ids, chosen, missing],
                "responses": _responses(listed, 400, 404, 408, 413, 414, 422, 431, 503, 504, cached=True),
            }
        },
        f"/v1/{path}/{{key}}": {
            "get": {
                "summary": f"The record of {name} with a key.",
                "parameters": [
                    {"name": "key", "in": "path", "required": True, "schema": key},
                    chosen,
                ],
                "responses": _responses(record, 400, 404, 408, 414, 422, 431, 503, 504, cached=True),
            }
        },
    }


def _mixed(uris: Mapping[str, str], types: Mapping[str, Any], limits: Limits) -> Schema:
    fields = {
        "type": "object",
        "properties": {name: {**_fields(types[name]["fields"]), "type": ["array", "null"]} for name in uris},
        "additionalProperties": False,
        "description": "The types that are asked for, and what of each.",
    }
    asked = {"type": "array", "items": {"type": "string"}, "maxItems": limits.ids}
    name, uri = next(iter(uris.items()))
    example = {"uris": [uri], "fields": {name: _fields(types[name]["fields"])["examples"][0]}}
    listed = {"type": "array", "items": {"type": ["object", "null"]}}
    return {
        "summary": f"A record for each URI, of several types: {', '.join(uris.values())}.",
        "requestBody": _body({"uris": asked, "fields": fields, **_REST}, ["uris", "fields"], example),
        "responses": _responses(listed, 400, 404, 408, 413, 422, 431, 503, 504, lines=True),
    }


def _vital(path: str, summary: str) -> Schema:
    media = {"text/plain": {"schema": {"type": "string"}}} if path == "/metrics" else _json({"type": "object"})
    not_yet = {"503": {"description": "Not now.", "content": _json({"type": "object"})}} if path == "/readyz" else {}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": media}, **not_yet}}


def _body(members: Schema, required: Sequence[str], example: Schema) -> Schema:
    schema = {"type": "object", "properties": members, "required": required, "additionalProperties": False}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _responses(answer: Schema, *problems: int, lines: bool = False, cached: bool = False) -> Schema:
    content = _json(answer)
    if lines:
        content["application/x-ndjson"] = {"schema": {"type": "string"}}
    found: Schema = {"200": {"description": "The answer.", "headers": VERSIONED, "content": content}}
    if cached:
        found["304"] = {"description": "It is as If-None-Match has it.", "headers": VERSIONED}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return found | {str(code): {"description": PROBLEMS[code], "content": problem} for code in problems}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _record(fields: Sequence[Mapping[str, Any]]) -> Schema:
    """What is selected through references has the shape of what is selected, so that more may be there."""
    return {"type": "object", "properties": {of["name"]: _nullable(_value(of)) for of in fields}}


def _fields(fields: Sequence[Mapping[str, Any]]) -> Schema:
    names = [of["name"] for of in fields]
    through = [f"{of['reference']['name']}.{{field}}" for of in fields if "reference" in of]
    return {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": MOST_FIELDS,
        "examples": [names[:2]],
        "description": f"{', '.join([*names, *through])}; all of the type itself by default.",
    }


def _nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema


def _value(field: Mapping[str, Any]) -> Schema:
    kind: str = field["type"]
    if kind.startswith("list<"):
        return {"type": "array", "items": _nullable(_value({"type": kind[5:-1]}))}
    if kind.startswith("reference"):
        return {}  # keys of another type, or a list of them
    if kind == "bool":
        return {"type": "boolean"}
    if kind.startswith(("int", "uint")):
        return {"type": "integer"}
    return {"type": "number"} if kind.startswith("float") else {"type": "string"}


_REST: Final[Schema] = {"missing": MISSING, "partial": PARTIAL}
_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer", "enum": list(REASONS)},
        "detail": {"type": "string"},
        "parameter": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}
