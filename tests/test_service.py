"""Worker processes: started, killed, replaced, drained; overloaded; and a catalogue that changes under them."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bedeck._bench.traffic import post
from bedeck._core import load
from bedeck.app import Limits
from commands import verb
from serving import Served, publish, served, waited

LIMITS = Limits(bound=5, drain=20)
IDS = [f"t{n}" for n in range(100)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    publish(tmp_path / "store")
    return tmp_path / "store"


@contextmanager
def loaded(service: Served, seconds: float, rate: float = 300, connections: int = 8, **more: Any) -> Iterator[Any]:
    """Load while something happens; what is given tells what came of it, and waits for the end."""
    host, port = service.address
    requests = post("/v1/track/decorate", [IDS], ["edition", "artists.edition"], host)
    given = {"poisson": True, "warm": 0.0, "timeout": 30.0, "seed": 1, "marker": b'"edition":', **more}
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(load, host, port, requests, rate=rate, lasting=seconds, connections=connections, **given)
        yield lambda: json.loads(future.result())


def test_workers_share_the_work_and_the_numbers(store: Path):
    with served(store, LIMITS, workers=3) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 3)
        assert len(service.workers()) == 3
        assert service.metric("bedeck_workers_wanted") == 3
        for _ in range(60):
            service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]})
        # Whichever answers knows of all.
        assert {service.metric("bedeck_decorate_ids_total") for _ in range(12)} == {60}
        assert service.end() == 0


def test_a_killed_worker_comes_back_and_only_its_own_requests_fail(store: Path):
    with served(store, LIMITS, workers=2) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        before = service.workers()
        with loaded(service, 3.0) as told:
            waited(lambda: service.metric("bedeck_http_requests_total") > 50)
            os.kill(before[0], signal.SIGKILL)
            waited(lambda: len(service.workers()) == 2 and before[0] not in service.workers())
        found = told()
        # One on each connection that the worker had, at the most.
        assert sum(found["errors"].values()) <= 8
        assert found["status"]["200"] == found["sent"] - sum(found["errors"].values())
        assert found["mixed"] == 0
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        assert service.until("a worker ended")["pid"] == before[0]


def test_who_takes_the_place_of_a_worker_counts_on(store: Path):
    with served(store, LIMITS) as service:
        publish(store, 2)
        waited(lambda: service.metric("bedeck_catalogue_refreshes_total") == 1)
        (before,) = service.workers()
        os.kill(before, signal.SIGKILL)
        waited(lambda: service.workers() not in ([], [before]) and service.metric("bedeck_workers_ready") == 1)
        assert service.metric("bedeck_catalogue_refreshes_total") == 1
        publish(store, 3)
        waited(lambda: service.metric("bedeck_catalogue_refreshes_total") == 2)


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_where_no_worker_starts_nobody_waits(store: Path, server: str):
    with served(store, LIMITS, workers=2, server=server) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        away = store.rename(store.with_name("away"))
        os.kill(service.workers()[0], signal.SIGKILL)
        service.until("a worker ended", 3)
        assert {service.ask("GET", "/v1/track/t1").status for _ in range(30)} == {200}
        away.rename(store)
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        pids = waited(lambda: len(of := service.workers()) == 2 and of)
        os.kill(pids[0], signal.SIGKILL)  # both places are there again
        assert {service.ask("GET", "/v1/track/t1").status for _ in range(30)} == {200}
        assert service.end() == 0


def test_who_does_not_read_has_a_worker_keep_only_so_much(store: Path):
    asked = json.dumps({"ids": ["t1"] * 5000}).encode()
    request = b"POST /v1/track/decorate HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(asked), asked)
    with served(store, Limits(bound=60, unread=1 << 20)) as service, ExitStack() as stack:
        idle = stack.enter_context(service.connect())
        idle.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(40):
            client = stack.enter_context(service.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request * 24)
        waited(lambda: service.metric("bedeck_http_sent_bytes_total") > 40 * 400_000)
        waited(lambda: service.metric("bedeck_http_connections") < 10)
        assert service.ask("POST", "/v1/track/decorate", asked).status == 200
        idle.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_replacing_all_workers_fails_no_request(store: Path, server: str):
    with served(store, LIMITS, workers=2, server=server) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        before = set(service.workers())
        counted = service.metric("bedeck_http_requests_total")
        with loaded(service, 4.0) as told:
            service.process.send_signal(signal.SIGHUP)
            waited(lambda: len(service.workers()) == 2 and not before & set(service.workers()))
        found = told()
        assert found["errors"] == {}
        assert found["status"] == {"200": found["sent"]}
        assert service.metric("bedeck_http_requests_total") >= counted + found["sent"]


def test_replacing_workers_again_and_again_ends_well(store: Path):
    with served(store, Limits(bound=5, drain=3), workers=2) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        with service.connect() as idle:  # which keeps a worker from leaving for a while
            idle.sendall(b"GET /livez HTTP/1.1\r\n")
            for _ in range(6):
                before = set(service.workers())
                service.process.send_signal(signal.SIGHUP)
                waited(lambda old=before: set(service.workers()) - old)
        waited(lambda: len(service.workers()) == 2)
        assert service.ask("GET", "/v1/track/t1").status == 200
        assert service.end() == 0


def test_workers_can_be_replaced_before_there_is_a_version(tmp_path: Path):
    """Both of a place get ready at the same time then, in whatever order."""
    with served(tmp_path / "store", LIMITS, workers=2, wait=60.0, ready=False) as service:
        before = set(waited(lambda: len(of := service.workers()) == 2 and of))
        service.process.send_signal(signal.SIGHUP)
        waited(lambda: set(service.workers()) - before)
        publish(tmp_path / "store")
        waited(lambda: not before & set(service.workers()))
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        assert service.ask("GET", "/v1/track/t1").status == 200
        assert service.end() == 0


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_the_end_is_in_order(store: Path, server: str):
    with served(store, Limits(bound=5, drain=20, linger=1.0), workers=2, server=server) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        with service.connect() as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
            assert answer(client).startswith(b"HTTP/1.1 200")
            for pid in (*service.workers(), service.process.pid):  # as systemd does, and a terminal
                os.kill(pid, signal.SIGTERM)
            waited(lambda: service.ask("GET", "/readyz").status == 503)
            # Who comes meanwhile is answered, and told to go.
            assert service.ask("GET", "/v1/track/t1").status == 200
            client.sendall(b"GET /v1/track/t1 HTTP/1.1\r\n\r\n")
            assert answer(client).startswith(b"HTTP/1.1 200")
        assert service.process.wait(60) == 0


def answer(client: socket.socket) -> bytes:
    """A whole one."""
    told = b""
    while not (head := re.match(rb"(?s).*?content-length: (\d+).*?\r\n\r\n", told)) or len(told) < head.end() + int(
        head[1]
    ):
        told += client.recv(1000)
    return told


def test_requests_that_have_begun_are_answered_in_the_end(store: Path):
    with served(store, LIMITS) as service:
        with service.connect() as client:
            client.sendall(b"POST /v1/track/decorate HTTP/1.1\r\ncontent-length: 15\r\n\r\n")
            waited(lambda: service.metric("bedeck_http_connections") >= 1)
            service.process.send_signal(signal.SIGTERM)
            waited(lambda: refused(service))
            client.sendall(b'{"ids": ["t1"]}')
            told = client.recv(1000)
        assert told.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in told
        assert service.process.wait(60) == 0


def refused(service: Served) -> bool:
    try:
        service.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_workers_end_with_their_supervisor(store: Path):
    with served(store, LIMITS, workers=2) as service:
        workers = service.workers()
        service.process.kill()
        waited(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_workers_end_with_a_supervisor_that_has_not_heard_them(tmp_path: Path):
    with served(tmp_path / "store", Limits(drain=1), ready=False, workers=2, wait=60) as service:
        waited(lambda: service.ask("GET", "/livez").status == 200 and len(service.workers()) == 2)
        workers = service.workers()
        service.process.send_signal(signal.SIGSTOP)  # what they say once they are ready is not read
        publish(tmp_path / "store")
        waited(lambda: {service.ask("GET", "/readyz").status for _ in range(20)} == {200})
        service.process.kill()
        waited(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_catalogue_changes_under_load(store: Path):
    with served(store, LIMITS, workers=2) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        with loaded(service, 4.0, rate=200) as told:
            for edition in range(2, 7):
                publish(store, edition)
                waited(lambda version=edition: service.metric("bedeck_catalogue_version") == version)
        found = told()
        assert (found["errors"], found["mixed"]) == ({}, 0)
        assert found["status"] == {"200": found["sent"]}
        assert len(found["versions"]) > 1


def test_with_too_many_requests_some_are_refused_and_health_is_not(store: Path):
    with served(store, Limits(bound=0.05, waiting=4)) as service:
        with loaded(service, 2.0, rate=100_000, connections=100, timeout=2.0) as told:
            assert {service.ask("GET", "/livez").status for _ in range(20)} == {200}
            assert service.ask("GET", "/metrics").status == 200
        found = told()
        assert found["status"]["200"] > 0
        assert found["status"]["503"] > 0
        assert set(found["status"]) <= {"200", "503", "504"}  # one that is begun may be kept from its end by others
        assert service.metric("bedeck_http_requests_shed_total") >= found["status"]["503"]
        # Shares of those that are shed, as of deploy/alerts.yaml, rest on where these are counted.
        lines = service.ask("GET", "/metrics").body.decode().splitlines()
        told = {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if value.isdigit()}
        at_once = sum(told[f'bedeck_http_requests_shed_total{{reason="{reason}"}}'] for reason in ("waiting", "bound"))
        assert told['bedeck_http_requests_total{route="other",code="503"}'] >= at_once > 0
        late = told['bedeck_http_requests_shed_total{reason="late"}']
        assert told.get('bedeck_http_requests_total{route="decorate",code="503"}', 0) == late
        assert service.ask("POST", "/v1/track/decorate", {"ids": ["t1"]}).status == 200


def test_long_lists_give_way_to_short_ones_and_keep_their_deadline(store: Path):
    limits = Limits(bound=20, ids=2_000_000, body=64 << 20)
    with served(store, limits) as service:
        body = json.dumps({"ids": ["t1"] * 1_000_000, "fields": ["title"]}).encode()
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(service.ask, "POST", "/v1/track/decorate", body)
            during = []
            while not long.done():
                during.append(service.ask("GET", "/v1/track/t1").status)
        assert len(long.result().json) == 1_000_000
        assert set(during) == {200}
        late = service.ask("POST", "/v1/track/decorate", body, bedeck_timeout_ms="400")
        partial = body[:-1] + b',"partial":true}'
        some = service.ask("POST", "/v1/track/decorate", partial, bedeck_timeout_ms="400")
        assert late.status in {200, 503, 504}  # as fast as this machine is
        if some.status == 200 and "bedeck-answered" in some.headers:
            assert len(some.json) == int(some.headers["bedeck-answered"])


def test_it_waits_for_a_first_version(tmp_path: Path):
    with served(tmp_path / "store", LIMITS, ready=False, wait=60) as service:
        waited(lambda: service.ask("GET", "/livez").status == 200)
        assert service.ask("GET", "/readyz").status == 503
        assert service.ask("GET", "/v1/track/t1").status == 503
        publish(tmp_path / "store")
        waited(lambda: service.ask("GET", "/readyz").status == 200)


def test_it_ends_while_it_waits(tmp_path: Path):
    with served(tmp_path / "store", LIMITS, ready=False, wait=600) as service:
        waited(lambda: service.ask("GET", "/livez").status == 200)
        assert service.end() == 0


def test_what_cannot_be_opened_is_told_once_with_its_code(tmp_path: Path):
    done = verb("serve", str(tmp_path / "none"), "--port", "0", "--workers", "3")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("bedeck: ")] == done.stderr.splitlines()[-1:]
    assert "nothing" in done.stderr.splitlines()[-1] or "no " in done.stderr.splitlines()[-1]


def test_an_address_that_is_taken_is_told(store: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = verb("serve", str(store), "--port", str(other.getsockname()[1]))
    assert done.returncode == 5
    assert "in use; name another" in done.stderr


def test_a_service_does_not_share_the_address_of_another(store: Path):
    with served(store, LIMITS) as service:
        done = verb("serve", str(store), "--port", str(service.address[1]))
        assert done.returncode == 5
        assert f"127.0.0.1:{service.address[1]}: Address already in use" in done.stderr


@pytest.mark.parametrize("server", ["bedeck", "uvicorn"])
def test_answers_are_logged_when_that_is_asked_for(store: Path, server: str):
    with served(store, LIMITS, access=True, server=server) as service:
        service.ask("GET", "/v1/track/t1", x_request_id="r1")
        lines = waited(lambda: [of for of in service.said if of.get("path") == "/v1/track/t1"])
        assert (lines[0]["status"], lines[0]["method"], lines[0]["request_id"]) == (200, "GET", "r1")
