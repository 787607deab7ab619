"""A proxy between clients and a server of objects, on the loopback, that fails as it is told."""

import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Middleman", "between"]

Fault = Callable[[int, str, str], str]
REFUSALS = {"busy": 503, "conflict": 409}


class Middleman:
    """Where the proxy is, what it is asked, and how it is to fail.

    ``fault`` is given the number of a request, from 0 on, its method and its path, and says what becomes of it: nothing
    out of the ordinary (an empty string); ``"busy"`` or ``"conflict"``, an answer of the proxy's own; ``"unheard"``, or
    ``"unanswered"`` though it was done; an answer ``"cut"``, or ``"flipped"`` in one bit; or the process ``victim`` is
    ``"killed"`` before it is done.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.address = ""
        self.victim = 0
        self.asked: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self.fault: Fault = lambda _number, _method, _path: ""

    def start(self, fault: Fault) -> None:
        """Count from 0 again, and fail so from now on."""
        with self._lock:
            self.asked.clear()
            self.fault = fault

    def ask(self, method: str, path: str) -> str:
        with self._lock:
            self.asked.append((method, path))
            return self.fault(len(self.asked) - 1, method, path)


class Handler(BaseHTTPRequestHandler):
    """One request, on a connection of its own."""

    server: "Server"

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if self.raw_requestline and self.parse_request():
            self.close_connection = True
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.serve(self.server.middleman, body)

    def serve(self, middleman: Middleman, body: bytes) -> None:
        fault = middleman.ask(self.command, self.path)
        if fault == "killed":
            os.kill(middleman.victim, signal.SIGKILL)
        elif fault in REFUSALS:
            self.answer(REFUSALS[fault], {"Content-Length": "0"}, b"")
        elif fault != "unheard":
            status, headers, data = forward(middleman.server, self.command, self.path, dict(self.headers), body)
            if fault != "unanswered":
                self.answer(status, headers, damaged(data, fault))

    def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"connection", "keep-alive", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, middleman: Middleman) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.middleman = middleman

    def handle_error(self, *_: Any) -> None:
        """A client that is gone is what this is about."""


@contextmanager
def between(server: str) -> Iterator[Middleman]:
    """A proxy in front of the server at this address."""
    middleman = Middleman(server)
    with Server(middleman) as proxy:
        middleman.address = f"127.0.0.1:{proxy.server_port}"
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield middleman
        finally:
            proxy.shutdown()


def damaged(data: bytes, fault: str) -> bytes:
    """An answer as it arrives."""
    half = len(data) // 2
    if fault == "cut":
        return data[:half]
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :] if fault == "flipped" and data else data


def forward(
    server: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(server)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        told = dict(answer.getheaders())
        if method != "HEAD" and "Content-Length" not in told:
            told["Content-Length"] = str(len(data))
        return answer.status, told, data
    finally:
        connection.close()
