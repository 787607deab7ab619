"""One connection of our own server: HTTP/1.1 with keep-alive and pipelining, on asyncio and httptools."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, cast

import httptools

from bedeck._serve.desk import Desk, Work, due
from bedeck._serve.message import HEADERS, Answer, Problem, Request
from bedeck._serve.route import OTHER
from bedeck._serve.wire import CONTINUE, END, REASON, REFUSED, chunk, head, whole

__all__ = ["Connection"]

MOST_PIPELINED: Final = 16  # requests of one connection that wait, before no more of it is read
SWALLOWED: Final = 64 << 10  # bytes of the body of a refused request that are read, to keep the connection
UNAVAILABLE: Final = 503
LINGER: Final = 2.0  # seconds in which a client may read why it was cut off
KEPT: Final = HEADERS | {b"content-length", b"expect", b"transfer-encoding"}

log = logging.getLogger("bedeck.serve")


class Connection(asyncio.Protocol):
    """A client. Requests are answered in the order they come in, one at a time.

    What is read is bounded: the head and the body of a request, how many wait, and how long each may take; so is how
    long an answer may be on its way. No more is read while an answer is not taken.
    """

    __slots__ = (
        "_answered_at",
        "_begun",
        "_body",
        "_closing",
        "_desk",
        "_grown",
        "_headers",
        "_limits",
        "_parser",
        "_paused_at",
        "_pending",
        "_prompt",
        "_receive_by",
        "_receiving",
        "_refusal",
        "_request",
        "_size",
        "_stream",
        "_transport",
        "_url",
        "_work",
        "group",
    )

    def __init__(self, desk: Desk, group: "set[Connection]") -> None:
        self.group = group
        self._desk = desk
        self._limits = desk.limits
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[tuple[Work | Problem, Request | None, bool]] = deque()
        self._work: tuple[Work | Problem, Request | None, bool] | None = None
        self._stream: Iterator[bytes] | None = None
        self._paused_at: float | None = None
        self._closing = False
        self._prompt = True
        self._receiving: str | None = None
        self._answered_at = self._receive_by = 0.0
        self._begun = self._size = self._grown = 0
        self._refusal: Problem | None = None
        self._request: Request

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._answered_at = time.monotonic()
        if len(self.group) >= self._limits.connections:
            self._closing = True
            self._transport.abort()
            return
        self.group.add(self)
        self._desk.slot.add("connections", 1)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - it does not matter why
        """It is gone; what it asked for is not answered any more."""
        self.group.discard(self)
        self._closing = True
        if self._work and isinstance(self._work[0], Work):
            self._work[0].dropped()
        self._pending.clear()
        self._work = self._stream = None

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing:
            return
        if self._receiving is None and self._work is None and (reason := self._desk.gate.refuses()) and whole(data):
            self._refuse(reason)
            return
        begun, size, self._prompt = self._begun, self._size, True
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                self._read_on(memoryview(data)[stop.args[0] :])
            if self._receiving and self._begun == begun:
                self._grow(len(data), understood=self._size != size)
        except httptools.HttpParserCallbackError as error:
            self._break(_cause(error))
        except httptools.HttpParserError as error:
            self._break(Problem(400, f"this is no HTTP/1.1 request: {error}"))
        except Problem as problem:
            self._break(problem)

    def eof_received(self) -> bool:
        """The client says no more; what it asked for is still answered."""
        self._receiving = None
        if self._pending or self._work:
            self._closing = True
            return True
        return False

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._paused_at = time.monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._paused_at = None
        self._transport.resume_reading()
        if self._work:
            self._desk.join(self)
        else:
            self._next()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._receiving, self._receive_by = "head", time.monotonic() + self._limits.header
        self._begun += 1
        self._url, self._size, self._grown = b"", 0, 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._refusal = None

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._url += url
        if len(self._url) > self._limits.head:
            raise Problem(414, f"the target is over {self._limits.head} bytes: ask with POST")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers; those that come behind a body do not matter."""
        if self._receiving != "head":
            return
        self._size += len(name) + len(value) + 4
        if self._size > self._limits.head:
            raise Problem(431, f"the headers are over {self._limits.head} bytes")
        name = name.lower()
        if name in KEPT:
            had = self._headers.get(name)
            self._headers[name] = value if had is None else b"%b, %b" % (had, value)

    def on_headers_complete(self) -> None:
        """Its head is there: whatever does not need the body is decided now."""
        parser = self._parser
        if self._closing or parser.should_upgrade():
            return
        now, headers = time.monotonic(), self._headers
        url = self._url if self._url.startswith(b"/") else _target(self._url)
        path, _, query = url.decode("latin-1").partition("?")
        self._request = request = Request(parser.get_method().decode("latin-1"), path, query, headers, now)
        self._size = 0
        self._receiving, self._receive_by = "body", now + self._limits.received
        try:
            length = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise Problem(400, "content-length has more digits than any length") from None
        try:
            self._admit(request, parser.get_http_version(), length)
        except Problem as problem:
            self._refusal = problem
        if self._refusal and (length > SWALLOWED or b"expect" in headers):
            raise self._refusal
        if b"expect" in headers and not self._pending and not self._work:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._size += len(body)
        if self._refusal:
            if self._size > SWALLOWED:
                raise self._refusal
        elif self._size > self._limits.body:
            raise Problem(413, _TOO_LARGE.format(self._limits.body))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """It is all there."""
        receiving, self._receiving = self._receiving, None
        if receiving == "head":
            return  # the answer before it was the last, or it is to be read again
        request, last = self._request, not self._parser.should_keep_alive()
        if self._refusal:
            self._enter(self._refusal, request, last=last)
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.whole(time.monotonic())
        self._enter(Work(self._desk, request), request, last=last)

    # What the desk and the worker call.

    def step(self, now: float) -> None:
        """Answer the next request, or do a slice of that."""
        if self._work is not None and self._paused_at is None:
            if self._stream is not None:
                self._send_piece()
            else:
                self._step(self._work, now)
            if self._pending:
                self._next()

    def tend(self, now: float) -> None:
        """Part with a client that takes too long."""
        limits = self._limits
        if self._paused_at is not None:
            if now > self._paused_at + limits.sent:
                self._transport.abort()
        elif self._closing:
            patience = limits.sent if self._transport.get_write_buffer_size() else LINGER
            if not self._work and not self._pending and now > self._answered_at + patience:
                self._transport.abort()
        elif self._receiving:
            if now > self._receive_by:
                self._break(Problem(408, f"the {self._receiving} of the request did not come in time"))
        elif not self._work and not self._pending:
            patience = min(limits.idle, LINGER / 2) if self._desk.draining else limits.idle
            if now > self._answered_at + patience:
                self._transport.close()

    def unread(self) -> tuple[int, float]:
        """How many bytes of its answers the client has not taken yet, and since when."""
        return self._transport.get_write_buffer_size(), self._paused_at or self._answered_at

    def abort(self) -> None:
        """Part with the client now."""
        self._transport.abort()

    def _refuse(self, reason: str) -> None:
        """Say no in the fewest steps: what is refused takes from what is not."""
        slot = self._desk.slot
        slot.shed(reason)
        slot.answered(OTHER, UNAVAILABLE, 0.0, len(REASON))
        self._answered_at = time.monotonic()
        self._transport.write(REFUSED)

    def _read_on(self, rest: memoryview) -> None:
        """Read what comes behind a head that wishes for another protocol, where the parser stops: without that wish."""
        while not self._closing:
            parser, self._parser = self._parser, httptools.HttpRequestParser(self)
            if parser.get_method() == b"CONNECT":
                raise Problem(405, "CONNECT is not for this service", (b"allow", b"GET, HEAD, POST"))
            lines = [b"%b %b HTTP/%b" % (parser.get_method(), self._url, parser.get_http_version().encode())]
            lines += [b"%b: %b" % header for header in self._headers.items()]
            lines += [] if parser.should_keep_alive() else [b"connection: close"]
            self._parser.feed_data(b"\r\n".join([*lines, b"", b""]))
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stop:
                rest = rest[stop.args[0] :]
            else:
                return

    def _grow(self, size: int, *, understood: bool) -> None:
        """Bound what the parser keeps: of a header that does not end, before a body or behind it."""
        self._grown = 0 if understood else self._grown + size
        if self._grown > 2 * self._limits.head:
            raise Problem(431, f"a header of the request is over {self._limits.head} bytes")

    def _admit(self, request: Request, version: str, length: int) -> None:
        desk, headers = self._desk, request.headers
        if version != "1.1":
            request.old = version == "1.0"
            if not request.old:
                raise Problem(505, "HTTP/1.1 is spoken here")
        if length > self._limits.body:
            raise Problem(413, _TOO_LARGE.format(self._limits.body))
        if b"expect" in headers and headers[b"expect"].lower() != b"100-continue":
            raise Problem(417, "100-continue is all that is expected here")
        request.deadline = due(self._limits, headers, request.at)
        if (reason := desk.gate.refuses()) and not desk.api.is_vital(request):
            desk.slot.shed(reason)
            raise desk.gate.problem()

    def _enter(self, work: Work | Problem, request: Request | None, *, last: bool) -> None:
        if last:
            self._closing = True
        if self._work is None and self._paused_at is None and not self._pending:
            self._take((work, request, last), prompt=self._prompt)
            return
        self._pending.append((work, request, last))
        if len(self._pending) >= MOST_PIPELINED:
            self._transport.pause_reading()

    def _next(self) -> None:
        """Go on to what is pending, once nothing is being answered."""
        if self._work is None and self._pending and self._paused_at is None:
            if len(self._pending) == MOST_PIPELINED:
                self._transport.resume_reading()
            self._take(self._pending.popleft(), prompt=False)

    def _take(self, current: "tuple[Work | Problem, Request | None, bool]", *, prompt: bool) -> None:
        """Have one wait for its turn.

        Who is refused, or looks after the service, does not wait for others; but a client that sends many of these at
        once, or others wait for it.
        """
        self._work = current
        work, request, _ = current
        if isinstance(work, Work):
            work.wait()
        if prompt and (isinstance(work, Problem) or (request is not None and self._desk.api.is_vital(request))):
            self._prompt = False
            self._step(current, time.monotonic())
        else:
            self._desk.join(self)

    def _step(self, current: "tuple[Work | Problem, Request | None, bool]", now: float) -> None:
        work, request, last = current
        answer = work.answer() if isinstance(work, Problem) else work.step(now)
        if answer is None:
            self._desk.join(self, begun=True)
        elif self._transport.is_closing():
            self._work = None
        else:
            self._send(answer, request, last=last)

    def _break(self, problem: Problem) -> None:
        """Answer what cannot be read further, and part."""
        if self._closing:
            return  # what comes after the last request does not matter
        self._receiving = None
        self._enter(problem, None, last=True)

    def _send(self, answer: Answer, request: Request | None, *, last: bool) -> None:
        last = last or (self._desk.draining and not self._pending)
        old = request is not None and request.old
        connection = b"close" if last else b"keep-alive" if old else None
        echo = request.headers.get(b"x-request-id") if request else None
        bodiless = request is not None and request.method == "HEAD"
        body = answer.body
        if not isinstance(body, bytes):
            if bodiless:
                self._transport.write(head(answer, None, connection, echo, chunked=not old))
                self._sent(answer.status, 0, request, last=last)
                return
            if old:
                self._transport.write(head(answer, None, b"close", echo, chunked=False))
            else:
                self._transport.write(head(answer, None, connection, echo))
            self._stream = body
            self._go_on()
            return
        begun, sent = head(answer, len(body), connection, echo), 0 if bodiless else len(body)
        self._transport.write(begun if bodiless else begun + body)
        self._sent(answer.status, sent, request, last=last)

    def _send_piece(self) -> None:
        _, request, last = cast("tuple[Work, Request, bool]", self._work)
        try:
            piece = next(cast("Iterator[bytes]", self._stream), None)
        except Exception as error:  # noqa: BLE001 - all there is to do is to end before the body does
            log.warning("an answer was cut off: %s", error, extra={"path": request.path})
            self._transport.abort()
            return
        if piece is None:
            if not request.old:
                self._transport.write(END)
            self._stream = None
            self._sent(200, 0, request, last=last or request.old or (self._desk.draining and not self._pending))
        else:
            if piece:
                self._transport.write(piece if request.old else chunk(piece))
                self._desk.slot.add("bytes_sent", len(piece))
            self._go_on()

    def _go_on(self) -> None:
        """Send the next piece in its turn, if the client takes them; once it does again, otherwise."""
        if self._paused_at is None:
            self._desk.join(self)

    def _sent(self, status: int, size: int, request: Request | None, *, last: bool) -> None:
        self._answered_at = time.monotonic()
        work, self._work = self._work, None
        if request is None:
            self._desk.slot.answered(OTHER, status, 0.0, size)
        else:
            route = request.route if work and isinstance(work[0], Work) else OTHER
            self._desk.answered(request, route, status, size)
        if last or (self._closing and not self._pending):
            self._closing = True
            self._pending.clear()
            self._transport.write_eof()


_TOO_LARGE = "the body is over {} bytes: ask in parts"


def _target(url: bytes) -> bytes:
    """The path and query of a target that is a whole URL (RFC 9112, 3.2.2). Raises `Problem`."""
    try:
        parts = httptools.parse_url(url)
    except httptools.HttpParserError:
        raise Problem(400, "the target of the request is neither a path nor a URL") from None
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _cause(error: Exception) -> Problem:
    cause = error.__context__ or error.__cause__
    if isinstance(cause, Problem):
        return cause
    log.error("a request could not be read", exc_info=error)
    return Problem(500, "something went wrong here, and is in the log")
