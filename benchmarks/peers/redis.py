"""Redis: a server beside the service, asked over a unix socket."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as NotThere

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept

__all__ = ["Redis"]

_PAIRS = 2000  # set at once
_PATIENCE = 600  # seconds for a server to load its file


class Redis(Finished):
    """Id -> finished JSON object, in another process."""

    name = "Redis MGET, unix socket"
    about = (
        "Debian's `redis-server` without persistence, started, loaded from its own dump and stopped by the benchmark; "
        "redis-py with hiredis, one connection kept, a unix socket. A list is one `MGET` of finished JSON objects: one "
        "round trip, which pipelined `GET`s do not beat. Its private memory here is that of the client."
    )
    bytes_a_track = 800

    def __init__(self, data: Data, job: Job) -> None:
        self._mget = _client(Path(_socket(data, job).read_text("utf-8"))).mget

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Set all, and have the server save it."""
        return [render(data, job), kept(_dump(data, job), partial(_write, data, job))]

    @classmethod
    @contextmanager
    def running(cls, data: Data, job: Job) -> Iterator[int | None]:
        """Start the server with what it saved; stop that process at the end."""
        with _server(_dump(data, job)) as (process, socket):
            note = _socket(data, job)
            note.write_text(str(socket), "utf-8")
            try:
                yield process
            finally:
                note.unlink()

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One round trip a list."""
        return [b"null" if body is None else body for body in self._mget(ids)]


def _write(data: Data, job: Job, dump: Path) -> None:
    with _server(dump) as (_, socket):
        client, tracks = _client(socket), pairs(data, job)
        while some := dict(islice(tracks, _PAIRS)):
            client.mset(some)
        client.save()


@contextmanager
def _server(dump: Path) -> Iterator[tuple[int, Path]]:
    with TemporaryDirectory(prefix="bedeck-") as folder:
        socket = Path(folder, "redis")  # a socket's path has 107 characters at most
        server = subprocess.Popen(_command(socket, dump), stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
        try:
            _wait(server, socket)
            yield server.pid, socket
        finally:
            server.terminate()
            server.wait()


def _command(socket: Path, dump: Path) -> list[str]:
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--dir": str(dump.parent),
        "--dbfilename": dump.name,
        "--save": "",
        "--appendonly": "no",
        "--rdbcompression": "no",
    }
    return ["redis-server", *(word for pair in options.items() for word in pair)]


def _wait(server: "subprocess.Popen[bytes]", socket: Path) -> None:
    until = monotonic() + _PATIENCE
    while monotonic() < until and server.poll() is None:
        try:
            _client(socket).ping()
        except (NotThere, BusyLoadingError, FileNotFoundError):
            sleep(0.05)
        else:
            return
    raise SystemExit("benchmarks: redis-server did not start")


def _client(socket: Path) -> "redis.Redis":
    # To save or load millions of keys takes longer than an answer may.
    return redis.Redis(unix_socket_path=str(socket), single_connection_client=True, socket_timeout=_PATIENCE)


def _dump(data: Data, job: Job) -> Path:
    return data.peers / f"redis-{job.name}.rdb"


def _socket(data: Data, job: Job) -> Path:
    return data.peers / f"redis-{job.name}.socket"
