"""The log of a service, and who reads it late."""

import io
import json
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from bedeck._serve.logs import WAITING, Aside, Lines, Timely
from commands import started
from serving import PATIENCE, Served, free_port, publish, waited


def of(number: int) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "bedeck.serve.access", "msg": "answered", "levelname": "INFO", "n": number})


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_lines_are_written_in_order_by_another_thread(stream: io.StringIO):
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    aside = Aside(handler)
    for number in range(100):
        aside.handle(of(number))
    aside.close()
    assert [line["n"] for line in written(stream)] == list(range(100))
    assert {line["level"] for line in written(stream)} == {"info"}


def test_who_logs_does_not_wait_for_who_reads():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        handler = logging.StreamHandler(pipe)
        handler.setFormatter(Lines())
        aside = Aside(handler)
        total = 3 * WAITING  # more than the pipe and the line hold together
        for number in range(total):
            aside.handle(of(number))
        data = b""
        while (
            b"were left out" not in data
        ):  # nobody has read before: now all that waits comes, and what is lost is told
            data += os.read(reader, 1 << 16)
        aside.handle(of(total))
        aside.close()
    with os.fdopen(reader, "rb") as rest:
        lines = [json.loads(line) for line in (data + rest.read()).splitlines()]
    numbers = [line["n"] for line in lines if "n" in line]
    lost = sum(int(line["message"].split()[0]) for line in lines if "n" not in line)
    assert numbers == sorted(numbers)
    assert len(numbers) + lost == total + 1
    assert lost > 0


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


def test_what_finds_no_room_is_left_out_and_told():
    reader, writer = filled()
    with os.fdopen(reader, "rb", buffering=0) as end, os.fdopen(writer, "w") as pipe:
        handler = Timely(pipe)
        handler.setFormatter(Lines())
        for number in range(3):
            handler.handle(of(number))
        assert not end.read(1 << 20).strip()
        handler.handle(of(3))
        told, lost = (json.loads(line) for line in end.read(1 << 20).splitlines())
    assert told["n"] == 3
    assert lost["message"].startswith("3 lines of the log were left out")


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
        assert {service.ask("GET", "/v1/track/t1").status for _ in range(100)} == {200}
        assert service.end() == 0
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(reader)
