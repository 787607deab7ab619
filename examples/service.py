"""A service that answers from a store, with the standard library alone: python examples/service.py STORE [PORT].

GET /<type>?ids=a,b&fields=title,artists.name answers a JSON array with a place for each id. A WSGI application, so it
runs as it is under gunicorn and others. For types whose keys are text. New versions are served within a second or so.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import bedeck

BUDGET = 0.05  # seconds a request
POLL = 1.0  # seconds between two looks at the store


class Service:
    """The application that answers from the store at ``store``."""

    def __init__(self, store: str) -> None:
        self.catalogue = bedeck.open(store, follow=True, poll=POLL)
        self.catalogue.warm()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request, all of it from one version."""
        deadline = time.monotonic() + BUDGET
        query = parse_qs(environ.get("QUERY_STRING", ""))
        ids, fields = (query[name][0].split(",") if name in query else None for name in ("ids", "fields"))
        try:
            with self.catalogue.view() as view:
                body = view[environ["PATH_INFO"].strip("/")].decorate_json(ids or [], fields, deadline=deadline)
        except (bedeck.SelectionError, TypeError) as error:
            return _refuse(start, "400 Bad Request", error)
        except bedeck.DeadlineError as error:
            return _refuse(start, "503 Service Unavailable", error)
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _refuse(start: Callable[..., object], status: str, error: Exception) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{error}\n".encode()]


def main() -> None:
    """Open and warm the store, then serve it on this host."""
    arguments = argparse.ArgumentParser(description="Answers from a store.")
    arguments.add_argument("store", metavar="STORE")
    arguments.add_argument("port", metavar="PORT", type=int, nargs="?", default=8000)
    given = arguments.parse_args()
    logging.basicConfig(level=logging.INFO)
    service = Service(given.store)
    with make_server("127.0.0.1", given.port, service) as server:
        print(f"{service.catalogue!r} on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
