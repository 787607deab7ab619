"""A service that answers from a store, with the standard library alone: python examples/service.py STORE [PORT].

GET /<type>?ids=a,b&fields=title,artists.name answers a JSON array with a place for each id. A WSGI application, so it
runs as it is under gunicorn and others. For types whose keys are text.
"""

import sys
import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import bedeck

BUDGET = 0.05  # seconds a request


def service(catalogue: bedeck.Catalogue) -> WSGIApplication:
    """The application that answers from ``catalogue``."""

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        deadline = time.monotonic() + BUDGET
        query = parse_qs(environ.get("QUERY_STRING", ""))
        ids, fields = (query[name][0].split(",") if name in query else None for name in ("ids", "fields"))
        try:
            with catalogue.view() as view:
                body = view[environ["PATH_INFO"].strip("/")].decorate_json(ids or [], fields, deadline=deadline)
        except (bedeck.SelectionError, TypeError) as error:
            return _refuse(start, "400 Bad Request", error)
        except bedeck.DeadlineError as error:
            return _refuse(start, "503 Service Unavailable", error)
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _refuse(start: Callable[..., object], status: str, error: Exception) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{error}\n".encode()]


def main() -> None:
    """Open and warm the store, then serve it on this host."""
    catalogue = bedeck.open(sys.argv[1])
    catalogue.warm()
    with make_server("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8000, service(catalogue)) as server:  # noqa: PLR2004
        print(f"{catalogue!r} on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
