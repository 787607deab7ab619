"""The log of a service, and who reads it late."""

import io
import json
import logging
import os

import pytest

from bedeck._serve.logs import WAITING, Aside, Lines


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
