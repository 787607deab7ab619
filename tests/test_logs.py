"""The log of a service, and who reads it late, or never."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

import serving
from bedeck._serve.logs import WAITING, Aside
from commands import python, started
from serving import PATIENCE, Served, free_port, publish, served, waited


def of(number: int, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "bedeck.serve", "msg": "said", "levelname": "INFO", "n": number, **more})


def filled() -> tuple[int, int]:
    """A pipe that takes nothing more: where it is read, and where it is written."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b" " * 4095 + b"\n")
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


@contextmanager
def read(reader: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines that come out of a pipe."""
    with os.fdopen(reader, "rb") as end:
        yield (json.loads(line) for line in end if line.strip())


def close(aside: Aside, writer: int) -> None:
    aside.close()
    os.close(writer)


def test_lines_are_written_in_order_by_another_thread():
    reader, writer = os.pipe()
    aside = Aside(writer)

    def log(at: int) -> None:
        for number in range(100):
            aside.handle(of(number, at=at, text="é" * 900))

    with read(reader) as lines:
        threads = [threading.Thread(target=log, args=[at]) for at in range(4)]
        for thread in threads:
            thread.start()
        told = [(line["at"], line["n"]) for line in islice(lines, 400)]
        for thread in threads:
            thread.join()
        close(aside, writer)
        assert list(lines) == []
    assert sorted(told, key=itemgetter(0)) == [(at, number) for at in range(4) for number in range(100)]


@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK])
def test_who_logs_does_not_wait_for_who_reads(flags: int):
    reader, writer = filled()
    os.set_blocking(writer, not flags)
    aside = Aside(writer)
    total = WAITING // 5000  # lines, twice of what may wait
    for number in range(total):
        aside.handle(of(number, text="x" * 10_000))
    with read(reader) as lines:
        told = list(takewhile(lambda line: "n" in line, lines))
        assert [line["n"] for line in told] == list(range(len(told)))
        aside.handle(of(total))
        assert next(lines)["n"] == total
        close(aside, writer)
        assert list(lines) == []
    assert len(told) < total


def test_how_much_was_left_out_is_told_in_the_end():
    number = WAITING // 5000
    reader, writer = filled()
    aside = Aside(writer)
    for each in range(number):
        aside.handle(of(each, text="x" * 10_000))
    ending = threading.Thread(target=aside.close)
    ending.start()
    with read(reader) as lines:
        told = 0
        while "n" in (line := next(lines)):
            told += 1
    ending.join()
    os.close(writer)
    assert int(line["message"].split()[0]) == number - told > 0


def test_what_cannot_be_told_harms_no_other():
    class Silent:
        def __repr__(self) -> str:
            raise RecursionError

    reader, writer = os.pipe()
    aside = Aside(writer)
    aside.handle(of(1, text=Silent()))
    aside.handle(of(2))
    close(aside, writer)
    with read(reader) as lines:
        told = list(lines)
    assert [line["n"] for line in told if "n" in line] == [2]
    assert ["RecursionError" in line["message"] for line in told] == [True, False]


def test_a_log_without_a_reader_stops_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    aside = Aside(writer)
    aside.handle(of(1))
    close(aside, writer)


def test_whatever_is_logged_is_json_and_so_are_warnings():
    said = "[logging.getLogger(name).error('so') for name in ('asyncio', 'bedeck.serve')]; warnings.warn('so')"
    code = f"import logging, warnings; from bedeck._serve.logs import to_stderr; to_stderr(access=False); {said}"
    done = python("-c", code)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["so", "so", "so"]


def test_a_service_whose_log_nobody_reads_goes_on_and_ends(tmp_path: Path):
    publish(tmp_path / "store")
    reader, writer = filled()
    port = free_port()
    options = ["--port", str(port), "--workers", "2", "--poll", "0.05", "--access-log"]
    process = started(sys.executable, "-m", "bedeck", "serve", tmp_path / "store", *options, stderr=writer)
    os.close(writer)
    try:
        service = Served(process, f"http://127.0.0.1:{port}")
        waited(lambda: service.metric("bedeck_workers_ready") == 2)
        publish(tmp_path / "store", 2)
        waited(lambda: service.metric("bedeck_catalogue_version") == 2)
        first = service.workers()
        os.kill(first[0], signal.SIGKILL)
        waited(lambda: first[0] not in service.workers() and service.metric("bedeck_workers_ready") == 2)
        service.process.send_signal(signal.SIGHUP)
        waited(lambda: not set(first) & set(service.workers()) and service.metric("bedeck_workers_ready") == 2)
        assert {service.ask("GET", "/v1/track/t1").status for _ in range(100)} == {200}
        assert service.end() == 0
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(reader)


def test_all_lines_of_a_service_are_there_once_it_has_ended(tmp_path: Path):
    publish(tmp_path / "store")
    with served(tmp_path / "store", access=True) as service:
        for _ in range(200):
            service.ask("GET", "/v1/track/t1")
        assert service.end() == 0
    assert sum(line.get("path") == "/v1/track/t1" for line in service.said) == 200


def test_a_service_without_standard_error_serves(tmp_path: Path):
    publish(tmp_path / "store")
    port = free_port()
    command = [sys.executable, "-m", "bedeck", "serve", str(tmp_path / "store"), "--port", str(port)]
    with started("/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command) as process:
        service = Served(process, f"http://127.0.0.1:{port}")
        try:
            waited(lambda: service.ask("GET", "/v1/track/t1").status == 200)
            assert service.end() == 0
        finally:
            process.kill()


BARRED = """
import os, threading
begin, parent = threading.Thread.start, os.getpid()
def start(thread):
    if thread.name == "bedeck-log" and os.getpid() != parent and os.path.exists({barrier!r}):
        raise RuntimeError("can't start new thread")
    begin(thread)
threading.Thread.start = start
"""


def test_a_worker_that_cannot_begin_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(tmp_path / "store")
    barrier = tmp_path / "barrier"
    monkeypatch.setattr(serving, "BOOT", BARRED.format(barrier=str(barrier)) + serving.BOOT)
    with served(tmp_path / "store", workers=3) as service:
        waited(lambda: service.metric("bedeck_workers_ready") == 3)
        first, *others = service.workers()
        barrier.touch()
        os.kill(first, signal.SIGKILL)
        assert "can't start new thread" in service.until("a worker ended", 3)["message"]
        assert set(others) <= set(service.workers())
        assert service.ask("GET", "/v1/track/t1").status == 200
        barrier.unlink()
        waited(lambda: service.metric("bedeck_workers_ready") == 3)
        assert service.end() == 0
