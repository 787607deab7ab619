"""Our own server, byte by byte: what a client may send, and how, and when."""

import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bedeck
from bedeck.app import Limits
from serving import Served, publish, received, served, waited

LIMITS = Limits(bound=10, waiting=2000, body=100_000, head=8_000, header=0.5, received=0.5, idle=1.0, sent=0.5)
BODY = b'{"ids": ["t1", "gone"], "fields": ["title"]}'
HEAD = b"POST /v1/track/decorate HTTP/1.1\r\nHost: x\r\n"
POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
GET = b"GET /v1/track/t1?fields=title HTTP/1.1\r\nHost: x\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(?:[^\r]+\r\n)*?content-length: (\d+)\r\n\r\n")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wire") / "store"
    publish(path)
    return path


@pytest.fixture(scope="module")
def service(store: Path) -> Iterator[Served]:
    with served(store, LIMITS) as service:
        yield service


@pytest.fixture(scope="module")
def body(store: Path) -> bytes:
    return bedeck.open(store)["track"].decorate_json(["t1", "gone"], ["title"])


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each."""
    found, at = [], 0
    while match := ANSWER.match(data, at):
        at = match.end() + int(match[2])
        found.append((int(match[1]), data[match.end() : at]))
    assert at == len(data), data[at:]
    return found


def taken(client: socket.socket, number: int) -> list[tuple[int, bytes]]:
    """As many answers."""
    data = b""
    while len(found := [*ANSWER.finditer(data)]) < number or len(data) < found[-1].end() + int(found[-1][2]):
        part = client.recv(1 << 16)
        assert part, data
        data += part
    return answers(data)


def test_a_connection_takes_one_request_after_the_other(service: Served, body: bytes):
    with service.connect() as client:
        for _ in range(3):
            client.sendall(POST)
            assert taken(client, 1) == [(200, body)]


def test_requests_sent_at_once_are_answered_in_order(service: Served, body: bytes):
    many = json.dumps({"ids": ["t1"] * 3000}).encode()
    long = HEAD + b"content-length: %d\r\n\r\n" % len(many) + many
    with service.connect() as client:
        client.sendall((POST + long + READY + GET + b"GET /no HTTP/1.1\r\n\r\n") * 20)
        found = taken(client, 100)
    assert [status for status, _ in found] == [200, 200, 200, 200, 404] * 20
    assert found[0] == (200, body)
    assert len(json.loads(found[1][1])) == 3000
    assert found[2][1] == b'{"ready":true,"version":1}'


def test_a_thousand_at_once_do_not_pile_up(service: Served, body: bytes):
    with service.connect() as client:
        client.sendall(POST * 1000)
        assert taken(client, 1000) == [(200, body)] * 1000


def test_what_one_client_sends_at_once_keeps_no_other_out(store: Path, body: bytes):
    with served(store, Limits(bound=10, waiting=20)) as service, service.connect() as client:
        client.sendall(POST * 3000)
        with service.connect() as other:
            for _ in range(20):
                other.sendall(POST)
                assert taken(other, 1) == [(200, body)]
        assert taken(client, 3000) == [(200, body)] * 3000


@pytest.mark.parametrize("step", [1, 7, 64])
def test_requests_may_come_in_any_pieces(service: Served, body: bytes, step: int):
    data = POST + GET
    with service.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), step):
            client.sendall(data[start : start + step])
        assert taken(client, 2)[0] == (200, body)


def test_bodies_may_come_in_chunks(service: Served, body: bytes):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY[n : n + 9]), BODY[n : n + 9]) for n in range(0, len(BODY), 9))
    with service.connect() as client:
        client.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n" + POST)
        assert taken(client, 2) == [(200, body)] * 2


def test_who_waits_to_be_asked_on_is(service: Served, body: bytes):
    with service.connect() as client:
        client.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert taken(client, 1) == [(200, body)]


def test_who_waits_to_be_asked_on_is_told_no_at_once(service: Served):
    for header, status in (
        (b"content-length: 100001\r\nexpect: 100-continue", 413),
        (b"expect: tea\r\ncontent-length: 1", 417),
    ):
        with service.connect() as client:
            client.sendall(HEAD + header + b"\r\n\r\n")
            assert answers(received(client))[0][0] == status


def test_the_last_request_closes(service: Served, body: bytes):
    with service.connect() as client:
        client.sendall(POST.replace(b"Host", b"Connection: close\r\nHost") + POST)
        assert answers(received(client)) == [(200, body)]


def test_older_clients_are_answered_too(service: Served, body: bytes):
    old = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert answers(service.raw(old)) == [(200, body)]
    with service.connect() as client:
        client.sendall(old.replace(b"Host", b"Connection: keep-alive\r\nHost") * 2)
        assert taken(client, 2) == [(200, body)] * 2
    lines = service.raw(old.replace(b"Host", b"Accept: application/x-ndjson\r\nHost"))
    assert b"chunked" not in lines
    assert lines.endswith(b'{"title":"Title 1 \xc3\xa9\\""}\nnull\n')


def test_who_says_no_more_is_still_answered(service: Served, body: bytes):
    assert answers(service.raw(POST * 3)) == [(200, body)] * 3


def test_answers_in_pieces_come_whole(service: Served):
    many = json.dumps({"ids": [f"t{n}" for n in range(2000)], "fields": ["title"]}).encode()
    request = HEAD + b"accept: application/x-ndjson\r\ncontent-length: %d\r\n\r\n" % len(many) + many
    told = service.raw(request)
    head, _, rest = told.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    lines = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        lines, rest = lines + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert len([json.loads(line) for line in lines.splitlines()]) == 2000


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /readyz HTTP/3.7\r\n\r\n", 400),
        (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (HEAD + b"content-length: x\r\n\r\n", 400),
        (HEAD + b"content-length: -1\r\n\r\n", 400),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"content-length: 99999999999999999999999999\r\n\r\n", 400),
        (HEAD + b"content-length: %b1\r\n\r\n" % (b"0" * 5000), 400),
        (HEAD + b"content-length: 100001\r\n\r\n", 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n") * 2, 413),
        (b"GET /readyz HTTP/1.1\r\n" + b"x: " + b"y" * 9000 + b"\r\n\r\n", 431),
        (b"GET /readyz HTTP/1.1\r\n" + b"x: y\r\n" * 2000 + b"\r\n", 431),
        (b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: " + b"y" * 500_000, 431),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2;x=" + b"y" * 500_000, 431),
        (b"GET /v1/track/%00%ff\x00 HTTP/1.1\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_parted_with(service: Served, data: bytes, status: int):
    with service.connect() as client:
        client.sendall(data)
        told = received(client)
    assert [found for found, _ in answers(told)] == [status]
    assert b"connection: close" in told


def test_what_comes_before_nonsense_is_answered(service: Served):
    with service.connect() as client:
        client.sendall(POST + b"nonsense\r\n\r\n")
        assert [status for status, _ in answers(received(client))] == [200, 400]


def test_a_target_may_be_a_whole_url(service: Served):
    with service.connect() as client:
        client.sendall(GET.replace(b"GET /", b"GET http://elsewhere:80/"))
        assert taken(client, 1) == [(200, b'{"title":"Title 1 \xc3\xa9\\""}')]


def test_there_are_only_so_many_connections(store: Path):
    with served(store, Limits(bound=10, connections=20)) as service:
        clients = [service.connect() for _ in range(40)]
        told = []
        for client in clients:
            with client:
                try:
                    client.sendall(READY)
                    told.append(client.recv(100))
                except ConnectionError:
                    told.append(b"")
        assert 1 <= sum(of.startswith(b"HTTP/1.1 200") for of in told) <= 40
        assert b"" in told
        waited(lambda: service.ask("GET", "/readyz").status == 200)


def test_what_it_would_rather_speak_does_not_matter(service: Served, body: bytes):
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nHost"
    chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    asked = POST + READY + HEAD + chunked
    with service.connect() as client:
        client.sendall(asked.replace(b"Host", wish) * 200 + POST)
        found = taken(client, 601)
        assert found[:3] == [(200, body), (200, b'{"ready":true,"version":1}'), (200, body)]
        assert found == found[:3] * 200 + found[:1]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(asked), 50):
            client.sendall(asked.replace(b"Host", wish)[start : start + 50])
        client.sendall(asked.replace(b"Host", wish)[start + 50 :])
        assert taken(client, 3) == found[:3]
        client.sendall(POST.replace(b"Host", wish.replace(b"Upgrade,", b"Upgrade, close,")) + POST)
        assert answers(received(client)) == found[:1]


def test_what_comes_behind_the_last_request_does_not_matter(service: Served, body: bytes):
    last = POST.replace(b"Host", b"Connection: close\r\nHost")
    for behind in (HEAD + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n", b"nonsense\r\n\r\n", POST * 5):
        assert answers(service.raw(last + behind)) == [(200, body)]


@pytest.mark.parametrize(
    ("data", "status"), [(b"", None), (b"GET /rea", 408), (HEAD, 408), (HEAD + b"content-length: 9\r\n\r\n{", 408)]
)
def test_slow_clients_are_parted_with(service: Served, data: bytes, status: int | None):
    with service.connect() as client:
        client.sendall(data)
        told = answers(received(client))
    assert [found for found, _ in told] == ([] if status is None else [status])


def test_trickling_does_not_help(service: Served):
    with service.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"GET /readyz HTTP/1.1\r\n")
        until = time.monotonic() + 30
        while time.monotonic() < until and not select.select([client], [], [], 0.05)[0]:
            client.sendall(b"x: y\r\n")
        assert b" 408 " in received(client)


def test_idle_connections_are_closed_and_others_are_not(service: Served):
    with service.connect() as client:
        client.sendall(READY)
        taken(client, 1)
        assert received(client) == b""


def test_who_does_not_read_holds_nobody_up(service: Served, body: bytes):
    many = json.dumps({"ids": ["t1"] * 5000}).encode()
    request = HEAD + b"content-length: %d\r\n\r\n" % len(many) + many
    with service.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # noqa: FBT003 - as Python has it
        sent = 0
        while sent < 200:
            try:
                client.send(request)
                sent += 1
            except BlockingIOError:
                break
        with service.connect() as other:
            for _ in range(20):
                other.sendall(POST)
                assert taken(other, 1) == [(200, body)]
        waited(lambda: service.metric("bedeck_http_connections") <= 2)


def test_clients_that_go_away_leave_nothing(service: Served):
    many = json.dumps({"ids": ["t1"] * 5000}).encode()
    for cut in (10, len(HEAD) + 30, None):
        request = (HEAD + b"content-length: %d\r\n\r\n" % len(many) + many)[:cut]
        for _ in range(20):
            with service.connect() as client:
                client.sendall(request)
    waited(
        lambda: service.metric("bedeck_http_requests_in_flight") == 0 and service.metric("bedeck_http_connections") <= 1
    )
    assert service.ask("GET", "/readyz").status == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([POST, GET, HEAD, BODY, b"\r\n", b"\r\n\r\n"])), max_size=6
    )
)
def test_whatever_comes_it_goes_on(service: Served, parts: list[bytes]):
    try:
        told = service.raw(b"".join(parts))
    except (BrokenPipeError, ConnectionResetError):
        told = b""
    assert not told or told.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in told
    assert service.ask("GET", "/livez").status == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_requests_are_answered_or_refused(service: Served, data: st.DataObject):
    request = bytearray(data.draw(st.sampled_from([POST, GET, POST + GET])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(request) - 1))
        request[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    told = service.raw(bytes(request))
    assert b" 500 " not in told
    assert service.ask("GET", "/livez").status == 200


def test_there_was_no_error(service: Served):
    assert [of for of in service.said if of.get("level") in {"error", "critical"}] == []


def test_head_has_no_body_where_get_has_lines(service: Served):
    asked = b"HEAD /v1/track?ids=t1,t2 HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n"
    with service.connect() as client:
        client.sendall(asked + READY)
        client.shutdown(socket.SHUT_WR)
        first, _, rest = received(client).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert b"application/x-ndjson" in first
    assert [status for status, _ in answers(rest)] == [200]


def test_what_comes_behind_a_body_does_not_matter(service: Served, body: bytes):
    padded = BODY[:-1] + b" " * 20_000 + b"}"  # more than a head may have
    chunks = b"%x\r\n%b\r\n0\r\nBedeck-Timeout-Ms: nonsense\r\nX-Request-Id: other\r\n\r\n" % (len(padded), padded)
    assert answers(service.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) == [(200, body)]


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_what_a_client_takes_to_send_is_not_of_the_bound(store: Path, body: bytes, server: str):
    with served(store, Limits(bound=0.2), server=server) as service, service.connect() as client:
        client.sendall(POST[: -len(BODY)])
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            assert service.ask("GET", "/readyz").status == 200
        client.sendall(BODY)
        assert taken(client, 1) == [(200, body)]
        assert service.metric("bedeck_http_request_duration_seconds_sum") < 0.3


def test_a_pause_of_the_process_does_not_close_the_gate_for_ever(store: Path):
    with served(store, Limits()) as service:
        (worker,) = service.workers()
        asked = POST * 8
        with service.connect() as client:
            client.sendall(asked)
            assert len(taken(client, 8)) == 8
            os.kill(worker, signal.SIGSTOP)
            client.sendall(asked)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                select.select([client], [], [], 0.1)
            os.kill(worker, signal.SIGCONT)
            taken(client, 8)
        waited(lambda: service.ask("POST", "/v1/track/decorate", BODY).status == 200)


def test_a_head_may_come_in_pieces(service: Served):
    head = b"GET /v1/track/t1?fields=title HTTP/1.1\r\nHost: x\r\n" + b"x-y: %b\r\n" % (b"z" * 500) * 12 + b"\r\n"
    with service.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(head), 700):
            client.sendall(head[start : start + 700])
        assert [status for status, _ in taken(client, 1)] == [200]


def test_nothing_is_answered_behind_the_last_answer(service: Served):
    lines = POST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
        b"Host", b"Connection: keep-alive\r\nAccept: application/x-ndjson\r\nHost"
    )
    told = service.raw(lines + GET)
    assert told.count(b"HTTP/1.1 ") == 1
    assert told.endswith(b"null\n")
    waited(lambda: service.metric("bedeck_http_requests_in_flight") == 0)
    assert not [line for line in service.said if line.get("level") == "error" or "Traceback" in line["message"]]
