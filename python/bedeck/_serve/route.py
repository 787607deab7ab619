"""Which of the endpoints a request is for."""

from typing import Final

__all__ = ["DECORATE", "FIXED", "LIST", "MIXED", "OTHER", "READING", "RECORD", "ROUTES", "routed"]

ROUTES: Final = ("decorate", "mixed", "list", "record", "other")
DECORATE, MIXED, LIST, RECORD, OTHER = range(len(ROUTES))
FIXED: Final = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs")  # paths of their own, among the other
READING: Final = frozenset({"GET", "HEAD"})


def routed(method: str, path: str) -> tuple[int, str]:
    """Its place among `ROUTES`, and the type that it names, as it is written in the path."""
    match method, path.split("/", 4):
        case "POST", ["", "v1", type_, "decorate"]:
            return DECORATE, type_
        case "POST", ["", "v1", "decorate"]:
            return MIXED, ""
        case "GET" | "HEAD", ["", "v1", type_] if type_:
            return LIST, type_
        case "GET" | "HEAD", ["", "v1", type_, key] if type_ and key:
            return RECORD, type_
    return OTHER, ""
