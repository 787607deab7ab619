"""The load generator, against servers that do as they are told."""

import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bedeck
from bedeck._bench.announcing import announcing
from bedeck._bench.loads import Load, Told, goodput
from bedeck._bench.service import Service
from bedeck._bench.traffic import post, sampled
from bedeck._cli.loading import load_text
from bedeck._cli.verbs import verbs
from bedeck._core import load
from bedeck.bench import Bench
from bedeck.errors import StoreError
from bedeck.store import Store
from commands import started, verb
from serving import PATIENCE, publish, waited

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nbedeck-version: 3\r\ncontent-length: 2\r\n\r\nok"
Answers = Callable[[int], bytes | None]  # the answer to the n-th request; None: hang up


@contextmanager
def server(answer: Answers) -> Iterator[int]:
    """A server that answers whatever ends with an empty line; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted = iter(range(1 << 30))
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with client:
            data = b""
            while part := client.recv(65536):
                data += part
                while b"\r\n\r\n" in data:
                    _, data = data.split(b"\r\n\r\n", 1)
                    told = answer(next(counted))
                    if told is None:
                        return
                    client.sendall(told)
                    if b"close" in told:
                        return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=quiet, args=[serve, client], daemon=True))
            threads[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def announced_in(store: Store) -> int:
    head = store.newest()
    assert head is not None
    return head.announced.version


@contextmanager
def benching(store: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`bedeck bench serve` that runs; ended in the end, whatever it started too."""
    command = [sys.executable, "-m", "bedeck", "bench", "serve", store, "--type", "track", "--rate", "20", *options]
    process = started(*command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(other for child in children for other in descendants(child))]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Shedding(Load):
    """Load, as it were, on a service that answers 1,000 requests a second, and refuses what is beyond that.

    Connections that ask again at once are hardly answered at all. Of each ``slots`` requests a second one has its
    connection in use.
    """

    slots: int = 1 << 30

    def run(self, rate: float | None, seconds: float, *_how: object, **_more: object) -> Told:
        asked = rate or 10_000.0
        good = min(asked, 1000.0) if rate else 20.0
        latency = {"count": good * seconds, **dict.fromkeys(["p50", "p90", "p99", "p999", "max"], 1e3), "spread": [1e3]}
        return {
            "rate": rate,
            "seconds": seconds,
            "connections": self.connections,
            "status": {"200": good * seconds, "503": (asked - good) * seconds},
            "errors": {},
            "latency": {"200": latency},
            "lag": {"p99": 5e3 if asked > self.slots else 1.0},
            "backlog": max(0, int(asked) - self.slots),
        }


def ignore(_: str) -> None:
    """Nobody is told."""


def run_bedeck(*args: object) -> Result:
    return CliRunner().invoke(verbs, [str(arg) for arg in args], catch_exceptions=False)


def refused(*args: object) -> str:
    """What is said to wrong usage."""
    done = run_bedeck(*args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "please report" not in done.stderr
    return done.stderr


def quiet(serve: Callable[[socket.socket], None], client: socket.socket) -> None:
    with suppress(OSError):
        serve(client)


def run(port: int, **other: Any) -> dict[str, Any]:
    usual = {"rate": 400.0, "poisson": False, "lasting": 0.5, "warm": 0.0, "connections": 4, "timeout": 5.0, "seed": 1}
    given = {**usual, **other}
    told: dict[str, Any] = json.loads(load("127.0.0.1", port, given.pop("requests", [GET]), **given))
    return told


def test_each_request_is_sent_when_it_is_due():
    with server(lambda _: OK) as port:
        told = run(port)
    assert (told["sent"], told["status"], told["errors"]) == (200, {"200": 200}, {})
    assert (told["versions"], told["mixed"]) == ({"3": 200}, 0)
    latency = told["latency"]["200"]
    assert latency["count"] == 200
    assert latency["p50"] <= latency["p99"] <= latency["max"]
    assert latency["spread"] == sorted(latency["spread"])
    assert sum(of["ok"] for of in told["series"]) == 200


def test_as_many_as_are_answered():
    with server(lambda _: OK) as port:
        told = run(port, rate=None)
    assert told["rate"] is None
    assert told["status"]["200"] == told["sent"] > 0


def test_those_that_wait_for_a_connection_count_from_when_they_were_due():
    gate = threading.Event()

    def answer(number: int) -> bytes:
        if number == 1:
            gate.wait(0.3)  # the server is held up; nothing else is measured by it
        return OK

    with server(answer) as port:
        told = run(port, connections=1, rate=1000.0)
    assert told["status"] == {"200": 500}
    assert told["backlog"] > 100
    # Not one request was slow, but hundreds: all that were due meanwhile.
    assert told["latency"]["200"]["p50"] > 10_000


def test_statuses_are_told_apart():
    with server(lambda n: OK if n % 2 else b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n") as port:
        told = run(port)
    assert set(told["status"]) == {"200", "503"}
    assert abs(told["status"]["200"] - 100) <= 2
    assert sum(of["refused"] for of in told["series"]) == told["status"]["503"]


def test_connections_that_close_are_opened_anew():
    with server(lambda _: OK.replace(b"content", b"connection: close\r\ncontent")) as port:
        told = run(port, rate=100.0)
    assert (told["status"], told["errors"]) == ({"200": 50}, {})


def test_requests_without_an_answer_are_errors():
    with server(lambda n: None if n % 10 == 5 else OK) as port:
        told = run(port, rate=200.0)
    assert sum(told["errors"].values()) + told["status"]["200"] == told["sent"]
    assert set(told["errors"]) <= {"closed", "reset"}
    assert sum(told["errors"].values()) >= 5


def test_what_is_no_answer_is_malformed():
    with server(lambda _: b"nonsense\r\n\r\n") as port:
        told = run(port, rate=20.0)
    assert (told["status"], set(told["errors"])) == ({}, {"malformed"})


def test_what_takes_too_long_is_given_up():
    with server(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n") as port:
        told = run(port, rate=20.0, timeout=0.2)
    assert (told["status"], told["errors"]) == ({}, {"timeout": 10})


def test_answers_in_chunks_are_read():
    chunks = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"v\r\n8\r\n":1,"v":\r\n2\r\n2}\r\n0\r\n\r\n'
    with server(lambda n: chunks if n % 2 else chunks.replace(b"\r\n2}", b"\r\n1}")) as port:
        told = run(port, marker=b'"v":')
    assert told["status"] == {"200": 200}
    assert abs(told["mixed"] - 100) <= 2


def test_the_start_may_not_count():
    with server(lambda _: OK) as port:
        told = run(port, lasting=0.6, warm=0.1)
    assert told["sent"] == told["status"]["200"] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"requests": []},
        {"requests": [b""]},
        {"connections": 0},
        {"lasting": -1.0},
        {"warm": 1.0},
    ],
)
def test_what_makes_no_sense_is_told(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=r"rate|requests|connections|lasting|seconds"):
        run(9, **wrong)


def test_nobody_there_is_told():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="is the service up"):
            run(place.getsockname()[1])


def test_lists_are_drawn_from_the_catalogue(tmp_path: Path):
    publish(tmp_path / "store")
    catalogue = bedeck.open(tmp_path / "store")
    lists = sampled(catalogue["track"], 50, 1)
    assert lists == sampled(catalogue["track"], 50, 1) != sampled(catalogue["track"], 50, 2)
    found = [record for ids in lists for record in catalogue["track"].decorate(ids, ["title"])]
    assert 0.96 < sum(record is not None for record in found) / len(found) < 1
    assert json.loads(post("/x", lists, ["a"], "h")[0].split(b"\r\n\r\n")[1]) == {"ids": lists[0], "fields": ["a"]}
    assert all(isinstance(key, int) for key in sampled(catalogue["album"], 5, 1)[0])
    with pytest.raises(ValueError, match="bytes"):
        sampled(catalogue["raw"], 5, 1)


def test_announcing_leaves_things_as_they_were(tmp_path: Path):
    publish(tmp_path / "store", 1)
    store = Store.at(tmp_path / "store")
    said: list[str] = []
    with pytest.raises(StoreError, match="two versions"), announcing(store, 1, said.append):
        pass
    publish(tmp_path / "store", 2)
    with announcing(store, 0.01, said.append) as announced:
        while announced() < 3:
            pass
    assert (announced_in(store), said) == (2, [])


def test_announcing_leaves_what_somebody_else_announces(tmp_path: Path):
    for edition in (1, 2, 3):
        publish(tmp_path / "store", edition)
    store, said = Store.at(tmp_path / "store"), queue.Queue[str]()
    with announcing(store, 0.01, said.put):
        store.rollback(1, "both of the others are wrong")
        assert "no more is announced: version 1" in said.get(timeout=PATIENCE)
    assert announced_in(store) == 1


def test_a_service_ends_with_who_started_it(tmp_path: Path):
    publish(tmp_path / "store")
    with benching(tmp_path / "store", "--seconds", "600") as bench:
        started = waited(lambda: found if len(found := descendants(bench.pid)) > 1 else None)
        bench.kill()
        bench.wait()
        waited(lambda: not any(is_there(pid) for pid in started))


def test_a_service_that_says_much_goes_on(tmp_path: Path):
    for edition in (1, 2):
        publish(tmp_path / "store", edition)
    store = Store.at(tmp_path / "store")
    with Service(str(tmp_path / "store"), ["--poll", "0.05"]) as service:
        log = os.open(f"/proc/{service.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        os.write(log, b"a line\n" * 100_000)  # as much as it takes
        os.close(log)
        for version in (1, 2, 1):
            store.rollback(version, "is this seen?")
            waited(partial(serves, service, version))


def serves(service: Service, edition: int) -> bool:
    client = http.client.HTTPConnection(*service.address, timeout=PATIENCE)
    with closing(client):
        client.request("GET", "/v1/track?ids=t1&fields=edition")
        return bool(json.loads(client.getresponse().read())[0]["edition"] == edition)


def test_a_service_may_have_processors_of_its_own(tmp_path: Path):
    publish(tmp_path / "store")
    one = {min(os.sched_getaffinity(0))}
    with Service(str(tmp_path / "store"), cpus=one) as service:
        assert [os.sched_getaffinity(pid) for pid in (service.pid, *service.workers())] == [one, one]


def test_a_service_that_does_not_start_is_told_of(tmp_path: Path):
    with pytest.raises(StoreError, match="no bedeck store"), Service(str(tmp_path / "none")):
        pass


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_refresh_that_is_ended_leaves_things_as_they_were(tmp_path: Path, number: signal.Signals, code: int):
    for edition in (1, 2):
        publish(tmp_path / "store", edition)
    store = Store.at(tmp_path / "store")
    with benching(tmp_path / "store", "--scenario", "refresh", "--every", "0.5", "--seconds", "600") as bench:
        waited(lambda: announced_in(store) == 1)
        started = descendants(bench.pid)
        bench.send_signal(number)
        assert bench.wait(PATIENCE) == code
        assert len(started) >= 2
        assert not any(is_there(pid) for pid in started)
    assert announced_in(store) == 2


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b'["t1"]\nnot json\n', "line 2 is no JSON"),
        (b"\xff\xfe[1]\n", "line 1 is no JSON"),
        (b"[" * 100_000, "line 1 is no JSON"),
        (b'"t1"\n', "line 1 is no list"),
        (b'{"t1": 1}\n', "line 1 is no list"),
        (b'[["t1"]]\n', "line 1 is no list"),
        (b"[true]\n", "line 1 is no list"),
    ],
)
def test_lists_that_are_none_are_told_by_line(tmp_path: Path, lists: bytes, words: str):
    publish(tmp_path / "store")
    file = tmp_path / "lists"
    file.write_bytes(lists)
    said = refused("bench", "serve", tmp_path / "store", "--lists", file)
    assert f"{file}" in said
    assert words in said
    assert 'as ["a", "b"] or [1, 2]' in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rate", "nan"], "nan"),
        (["--rate", "1e300"], "1000000"),
        (["--seconds", "nan"], "nan"),
        (["--bound", "inf"], "inf"),
        (["--seed", "-1"], "-1"),
        (["--type", "raw"], "bytes, which JSON does not have: name another type"),
        (["--url", "http://127.0.0.1:99999"], "a port from 1 to 65535"),
        (["--url", "http://127.0.0.1:0"], "a port from 1 to 65535"),
        (["--url", "http://127.0.0.1:8000/metadata"], "no path"),
        (["--url", "http://[::1"], "http://HOST:PORT is expected"),
        (["--html", "/nowhere/report.html"], "/nowhere/report.html cannot be written"),
    ],
)
def test_wrong_usage_is_told_before_any_load(tmp_path: Path, options: list[str], words: str):
    publish(tmp_path / "store")
    assert words in refused("bench", "serve", tmp_path / "store", *options)


def test_a_service_that_refuses_all_is_told_of_with_what_it_says(tmp_path: Path):
    publish(tmp_path / "store")
    with server(lambda _: b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n") as port:
        options = ["--url", f"http://127.0.0.1:{port}", "--connections", "1", "--scenario", "saturation"]
        assert "but 404 (" in refused("bench", "serve", tmp_path / "store", *options)


def test_what_was_measured_is_told_though_no_report_can_be_written(tmp_path: Path):
    publish(tmp_path / "store")
    folder = tmp_path / "reports"
    folder.mkdir()

    def answer(_: int) -> bytes:
        if folder.exists():
            folder.rmdir()
        return OK

    with server(answer) as port:
        options = ["--url", f"http://127.0.0.1:{port}", "--seconds", "1", "--html", folder / "report.html", "--json"]
        done = run_bedeck("bench", "serve", tmp_path / "store", *options)
    assert done.exit_code == 5
    assert "No such file" in done.stderr
    assert json.loads(done.stdout)["status"]["200"] > 0


def test_a_report_tells_how_long_the_lists_of_a_file_are(tmp_path: Path):
    publish(tmp_path / "store")
    file, html = tmp_path / "lists", tmp_path / "report.html"
    file.write_text('["t1", "t2"]\n["t1", "t2", "t3", "t4"]\n')
    with server(lambda _: OK) as port:
        options = ["--lists", file, "--url", f"http://127.0.0.1:{port}", "--seconds", "1", "--html", html]
        assert run_bedeck("bench", "serve", tmp_path / "store", *options).exit_code == 0
    assert "lists of 3</title>" in html.read_text()


def test_goodput_counts_what_was_in_time():
    latency = {"count": 1000, "spread": [1e3] * 970 + [4e4] * 20 + [6e4] * 10}
    assert goodput({"latency": {"200": latency}, "seconds": 10.0}, 0.05) == 99.0
    assert goodput({"latency": {}, "seconds": 10.0}, 0.05) == 0.0


def test_most_that_is_kept_up_with_is_found_where_a_closed_loop_is_mostly_refused():
    told = Bench(Shedding("", 0, [])).saturation(2.0, ignore)
    assert told["saturation"] == pytest.approx(1000, rel=0.05)
    assert told["searched"][0]["answered"] == 20


def test_a_service_that_never_says_200_has_no_saturation():
    with (
        server(lambda _: b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n") as port,
        pytest.raises(ValueError, match=r"nothing is answered with 200, but 404 \("),
    ):
        Bench(Load("127.0.0.1", port, [GET], connections=1)).saturation(1.0, ignore)


def test_overload_has_as_many_connections_as_requests_may_wait():
    told = Bench(Shedding("", 0, [])).overload(2, 2.0, ignore)
    assert told["connections"] == 400
    assert told["goodput_of_saturation"] == pytest.approx(1, rel=0.05)
    assert Bench(Shedding("", 0, []), bound=0.2).overload(4, 2.0, ignore)["connections"] > 1500
    assert Bench(Shedding("", 0, [], connections=500)).overload(4, 2.0, ignore)["connections"] == 500


def test_overload_tells_no_share_where_this_side_held_requests_back():
    told = Bench(Shedding("", 0, [], slots=300)).overload(10, 2.0, ignore)
    assert (told["backlog"] > 0, told["goodput_of_saturation"]) == (True, None)
    text = "\n".join(load_text({**told, "memory": None}))
    assert "waited on this side until one of its" in text
    assert "too slow" not in text
    assert "of the saturation" not in text


def test_who_never_answers_does_not_make_this_side_too_slow():
    with server(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n") as port:
        told = Bench(Load("127.0.0.1", port, [GET], connections=2, timeout=0.2)).steady(100.0, 1.0)
    text = "\n".join(load_text({**told, "memory": None}))
    assert "waited on this side" in text
    assert "too slow" not in text


@pytest.mark.parametrize("scenario", ["steady", "saturation", "overload", "refresh"])
def test_the_command_runs_scenarios(tmp_path: Path, scenario: str):
    for edition in (1, 2):
        publish(tmp_path / "store", edition)
    html = tmp_path / "report.html"
    command = ["bench", "serve", tmp_path / "store", "--type", "track", "--size", "10"]
    options = ["--scenario", scenario, "--rate", "200", "--seconds", "1", "--every", "0.2", "--html", html]
    told = json.loads(verb(*command, *options, "--json").stdout)
    assert told["scenario"] == scenario
    assert told["latency"]["200"]["count"] > 0
    memory = told["memory"]
    assert [memory["series"][0][1], memory["series"][-1][1]] == [memory["before"], memory["after"]]
    assert memory["after"] > 0
    assert "histogram" not in told["latency"]["200"]
    page = html.read_text()
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert "Memory of the workers" in page
    if scenario == "steady":
        text = verb(*command, *options).stdout
        assert text.startswith("steady: 200 requests a second") or "steady: 200 requests" in text
