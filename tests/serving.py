"""A service in processes of its own, and clients that may do to it what they like."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bedeck
from bedeck.app import Limits

PATIENCE = 60.0  # seconds

SCHEMA = bedeck.Schema(
    {
        "track": bedeck.Type(
            "id", uri="music:track:{id}", references={"artists": bedeck.Reference("artist_ids", "artist")}
        ),
        "artist": bedeck.Type("id", uri="music:artist:{id}"),
        "album": bedeck.Type(bedeck.Key("number", "int")),
        "raw": bedeck.Type(bedeck.Key("key", "bytes")),
    }
)
TRACKS = 2000
BOOT = """
import json, logging, sys
from bedeck._serve.logs import to_stderr
from bedeck.serve import Limits, serve
given = json.loads(sys.argv[1])
to_stderr(access=given.pop("access", False))
serve(given.pop("store"), port=0, limits=Limits(**given.pop("limits", {})), **given)
"""


def rows(edition: int) -> dict[str, list[dict[str, Any]]]:
    """Records that all say which edition they are of."""
    return {
        "track": [
            {"id": f"t{n}", "title": f'Title {n} é"', "edition": edition, "artist_ids": [f"a{n % 7}", f"a{n % 5}"]}
            for n in range(TRACKS)
        ],
        "artist": [{"id": f"a{n}", "name": f"Name {n}", "edition": edition} for n in range(7)],
        "album": [{"number": n, "title": f"Album {n}", "edition": edition} for n in range(9)],
        "raw": [{"key": bytes([n, 255]), "title": f"Raw {n}"} for n in range(3)],
    }


def publish(store: Path, edition: int = 1) -> None:
    """The next version of a store, all of one edition."""
    bedeck.build(SCHEMA, store, rows(edition))


@dataclass
class Served:
    """A service that runs."""

    process: subprocess.Popen[str]
    url: str = ""
    said: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> "Told":
        """One request on a connection of its own."""
        client = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            client.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            client.close()

    def connect(self) -> socket.socket:
        """A connection, to send anything over."""
        return socket.create_connection(self.address, timeout=PATIENCE)

    def raw(self, data: bytes) -> bytes:
        """What is answered to bytes, until the service closes."""
        with self.connect() as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return received(client)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def workers(self) -> list[int]:
        """The processes that answer."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def until(self, message: str, number: int = 1) -> dict[str, Any]:
        """Wait for the log to say something for the n-th time."""
        return waited(
            lambda: [of for of in list(self.said) if of.get("message", "").startswith(message)][number - 1 :]
        )[0]

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it, and wait for that; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@dataclass
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@contextmanager
def served(store: Path | str, limits: Limits | None = None, *, ready: bool = True, **options: Any) -> Iterator[Served]:
    """A service of a store, ready to answer; ended in the end."""
    given = {"store": str(store), "limits": asdict(limits or Limits()), "poll": 0.05, **options}
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-W", "error", "-c", BOOT, json.dumps(given)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    service = Served(process)
    listener = threading.Thread(target=_listen, args=[service])
    listener.start()
    try:
        service.url = service.until("listening")["url"]
        if ready:
            waited(lambda: service.ask("GET", "/readyz").status == 200)
        yield service
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        listener.join()
        assert process.stderr is not None
        process.stderr.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def waited(true: Any) -> Any:
    """Ask until the answer is true, and give it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if found := true():
                return found
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.01)
    raise TimeoutError(f"not so within {PATIENCE:.0f} s")


def received(client: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    parts = []
    while True:
        try:
            part = client.recv(1 << 16)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def _listen(service: Served) -> None:
    assert service.process.stderr is not None
    for line in service.process.stderr:
        try:
            service.said.append(json.loads(line))
        except ValueError:
            service.said.append({"message": line})
