"""The line in which requests wait, seen from within: who is answered when, and who waits for whom."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import httptools
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from bedeck._serve.api import Api
from bedeck._serve.connection import Connection
from bedeck._serve.desk import Desk
from bedeck._serve.gate import Gate
from bedeck._serve.message import Answer, Request
from bedeck._serve.metrics import Block
from bedeck._serve.wire import whole
from bedeck.app import Limits

GET = b"GET /v1/track/%d HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /v1/track/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = Limits(bound=10)
PIECES = (
    b"Host: x\r\n",
    b"Content-Length: 2\r\n",
    b"content-length",
    b"Transfer-Encoding: chunked\r\n",
    b"A: b",
    b"\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"2",
    b"\0",
)


@dataclass
class Inside:
    """A worker's line in this process."""

    desk: Desk
    clients: list[socket.socket] = field(default_factory=list)

    async def connect(self, sent: bytes = b"", taken: int = 0) -> tuple[Connection, socket.socket]:
        """A connection, and its client, who has ``sent`` something; the kernel takes ``taken`` bytes of an answer."""
        server, client = socket.socketpair()
        if taken:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, taken)
        client.sendall(sent)
        _, connection = await self.desk.loop.connect_accepted_socket(lambda: Connection(self.desk, set()), server)
        client.settimeout(30)
        self.clients.append(client)
        return connection, client


def played(play: Callable[[Inside], Awaitable[None]], api: type[Api], limits: Limits = LIMITS) -> None:
    """Have something happen inside."""

    async def run() -> None:
        block = Block(1)
        slot = block.slots[0]
        inside = Inside(Desk(api(limits, block, slot), limits, slot, asyncio.get_running_loop()))
        try:
            await asyncio.wait_for(play(inside), 30)
        finally:
            for client in inside.clients:
                client.close()
            await passed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def passed(turns: int = 50) -> None:
    """Let everything that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


def statuses(client: socket.socket) -> list[int]:
    """Of what has come."""
    return [int(part[:3]) for part in client.recv(1 << 20).split(b"HTTP/1.1 ")[1:]]


def test_an_answer_is_sent_before_the_next_is_made():
    """Who is first in line does not wait for all the others."""
    order: list[int] = []
    seen: list[bytes] = []
    clients: list[socket.socket] = []

    class Noting(Api):
        def begin(self, request: Request, /) -> Answer:
            if order:
                seen.append(clients[order[-1]].recv(1 << 16, socket.MSG_DONTWAIT))
            order.append(int(request.path.rpartition("/")[2]))
            return Answer(b"to %d" % order[-1])

    async def play(inside: Inside) -> None:
        clients.extend([(await inside.connect())[1] for _ in range(3)])
        for place, client in enumerate(clients):  # all at once, so that they are in one line
            client.sendall(GET % place)
        await passed()

    played(play, Noting)
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in seen] == [b"to %d" % place for place in order[:-1]]
    assert len(order) == len(clients)


def test_who_asks_for_much_at_once_takes_turns_with_others():
    order: list[str] = []

    class Noting(Api):
        def begin(self, request: Request, /) -> Answer:
            order.append(request.path)
            return Answer(b"{}")

    async def play(inside: Inside) -> None:
        _, many = await inside.connect()
        _, one = await inside.connect()
        many.sendall(READY * 200)
        one.sendall(GET % 1)
        await passed(500)

    played(play, Noting)
    assert order.count("/readyz") == 200
    assert order.index("/v1/track/1") <= 3


def test_who_is_refused_is_told_in_order():
    class Counting(Api):
        def begin(self, request: Request, /) -> Answer:
            return Answer(request.path.encode())

    async def play(inside: Inside) -> None:
        inside.desk.gate.waiting = LIMITS.waiting
        _, client = await inside.connect((GET % 1 + READY + GET % 2) * 20)
        await passed(200)
        assert statuses(client) == [503, 200, 503] * 20
        inside.desk.gate.waiting = 0
        client.sendall(GET % 1 + GET % 2)
        await passed()
        assert statuses(client) == [200, 200]

    played(play, Counting)


def test_who_does_not_read_is_waited_for_by_nobody():
    class Long(Api):
        def begin(self, _request: Request, /) -> Answer:
            return Answer(b"x" * 100_000)

    async def play(inside: Inside) -> None:
        _, client = await inside.connect(READY * 20 + GET % 1 * 400)
        await passed()
        assert inside.desk.gate.waiting == 0
        client.close()
        await passed()
        assert inside.desk.gate.waiting == 0

    played(play, Long)


def test_who_leaves_within_an_answer_is_let_go_once():
    """What is waited for is what the gate goes by, and what metrics tell."""
    waiting: list[int] = []
    desks: list[Desk] = []
    gone = asyncio.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"more"
        finally:
            gone.set()

    async def play(inside: Inside) -> None:
        desks.append(inside.desk)
        _, client = await inside.connect(GET % 1)
        await inside.desk.loop.run_in_executor(None, client.recv, 100)
        client.close()
        await gone.wait()
        waiting.append(inside.desk.gate.waiting)

    class Streaming(Api):
        def begin(self, _request: Request, /) -> Answer:
            waiting.append(desks[0].gate.waiting)
            return Answer(endless())

    played(play, Streaming)
    assert waiting == [1, 0]


def test_who_is_late_to_read_gets_the_last_answer_whole():
    class Long(Api):
        def begin(self, _request: Request, /) -> Answer:
            return Answer(b"x" * 50_000)  # more than the kernel takes, less than makes a transport ask for a pause

    async def play(inside: Inside) -> None:
        for late, complete in ((LIMITS.sent - 1, True), (LIMITS.sent + 1, False)):
            connection, client = await inside.connect(LAST, taken=4096)
            await passed()
            connection.tend(time.monotonic() + late)
            read = await inside.desk.loop.run_in_executor(None, everything, client)
            assert (len(read) > 50_000) is complete

    played(play, Long)


def everything(client: socket.socket) -> bytes:
    """What comes until the other side ends."""
    parts = []
    while part := client.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def test_what_the_gate_has_seen_in_a_rush_is_forgotten():
    limits = Limits(bound=0.05)
    gate = Gate(limits)
    request = Request("POST", "/v1/track/decorate", "", {}, 0.0)
    gate.waiting, now = 2, 0.0
    for _ in range(200):  # two wait all the time, and there are 10 s between the answers to others
        now += 10.0
        gate.waiting += 1
        gate.left(now)
    gate.waiting = 0
    request.deadline = now + limits.bound
    assert not gate.late(request, now)
    for _ in range(500):
        gate.waiting += 1
        gate.left(now)
    assert gate.interval < 0.001


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12), st.binary(max_size=12))
@example([b"Content-Length", b" ", b": 2\r\n", b"\r\n"], b"{}")
@example([b"A: b\n", b"Content-Length: 2\r\n", b"\r\n"], b"")
@example([b"A: b\r\n", b" Transfer-Encoding: chunked\r\n", b"\r\n"], b"")
def test_what_is_refused_unread_is_one_request_to_a_parser_too(pieces: list[bytes], body: bytes):
    class Seen:
        ended = 0

        def on_message_complete(self) -> None:
            Seen.ended += 1

    data = b"POST /v1/track/decorate HTTP/1.1\r\n" + b"".join(pieces) + body
    if whole(data):
        parser = httptools.HttpRequestParser(Seen())
        parser.feed_data(data)
        assert Seen.ended == 1
        assert parser.should_keep_alive()
        assert not parser.should_upgrade()


def test_only_what_is_plain_is_refused_unread():
    asked = b"POST /v1/track/decorate HTTP/1.1\r\n%b\r\n{}"
    for head in (
        b"Host: x\r\nContent-Length: 2\r\n",
        b"content-length:2 \r\nUser-Agent: caf\xc3\xa9\r\nTraceparent: 00\r\n",
    ):
        assert whole(asked % head)
    for head in (
        b"Content-Length: 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nConnection: close\r\n",
        b"Content-Length: 2\r\nX-Request-Id: 7\r\n",
        b"Content-Length : 2\r\n",
        b"A: b\nContent-Length: 2\r\n",
        b"A: b\0\r\nContent-Length: 2\r\n",
    ):
        assert not whole(asked % head)
