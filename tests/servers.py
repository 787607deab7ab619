"""Servers of objects, on the loopback, for the tests: S3 by moto, Azure by azurite, and s3rver, which is careless.

The last two are Node programs. `make servers` installs them; where they are missing, the tests that need them are
skipped, or fail if BEDECK_REQUIRE_SERVERS is set.
"""

import base64
import hashlib
import hmac
import http.client
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Place", "azure", "careless", "s3"]

NODE = Path(sys.prefix) / "node" / "node_modules" / ".bin"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # azurite's own


@dataclass(frozen=True)
class Place:
    """Where a server keeps objects: a URL without a prefix, and the options that lead to it."""

    url: str
    options: dict[str, Any]
    address: str
    process: int

    def through(self, address: str) -> dict[str, Any]:
        """The options that lead to it by another address."""
        return {**self.options, "endpoint": self.options["endpoint"].replace(self.address, address)}


@contextmanager
def s3() -> Iterator[Place]:
    """An S3 that heeds conditions, with a bucket."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with serving(command, r"Running on http://(\S+)") as (address, process):
        signed = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        make(address, "/bucket", {"Authorization": signed})
        yield Place("s3://bucket", s3_options(address, "moto"), address, process)


@contextmanager
def careless(folder: Path) -> Iterator[Place]:
    """An S3 that takes no notice of If-None-Match, with a bucket."""
    command = [node("s3rver"), "-d", str(folder), "-a", "127.0.0.1", "-p", "0", "--configure-bucket", "bucket"]
    with serving(command, r"listening on (\S+)") as (address, process):
        yield Place("s3://bucket", s3_options(address, "S3RVER"), address, process)


@contextmanager
def azure() -> Iterator[Place]:
    """An Azure, with a container."""
    command = [node("azurite-blob"), "--blobPort", "0", "--silent", "--inMemoryPersistence", "--disableTelemetry"]
    command.append("--skipApiVersionCheck")  # the client speaks a newer version than it knows
    with serving(command, r"successfully listens on http://(\S+)") as (address, process):
        path = f"/{AZURE_ACCOUNT}/container"
        date = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        headers = "".join(f"{name}:{value}\n" for name, value in date.items())
        text = f"PUT{chr(10) * 12}{headers}/{AZURE_ACCOUNT}{path}\nrestype:container"
        signature = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256)
        authorization = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(signature).decode()}"
        make(address, f"{path}?restype=container", {**date, "Authorization": authorization})
        options = {
            "account_name": AZURE_ACCOUNT,
            "account_key": AZURE_KEY,
            "endpoint": f"http://{address}/{AZURE_ACCOUNT}",
            "client_options": {"allow_http": True},
        }
        yield Place("az://container", options, address, process)


def s3_options(address: str, key: str) -> dict[str, Any]:
    return {
        "access_key_id": key,
        "secret_access_key": key,
        "region": "us-east-1",
        "endpoint": f"http://{address}",
        "client_options": {"allow_http": True},
    }


def node(name: str) -> str:
    """The program of Node with this name."""
    found = shutil.which(name, path=str(NODE)) if shutil.which("node") else None
    if found is None:
        why = f"{name} is not installed: make servers"
        if os.environ.get("BEDECK_REQUIRE_SERVERS"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def serving(command: Sequence[str], told: str) -> Iterator[tuple[str, int]]:
    """Run a server; gives the address that it tells, as soon as it does, and its process."""
    environment = {**os.environ, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            said = []
            for line in server.stdout:
                said.append(line)
                if found := re.search(told, line):
                    # What it says further on must not fill the pipe.
                    rest = threading.Thread(target=deque, args=(server.stdout, 0), daemon=True)
                    rest.start()
                    try:
                        yield found[1].rstrip("/"), server.pid
                    finally:
                        server.kill()
                        rest.join()  # or what it reads is closed under it
                    return
            pytest.fail(f"{command[0]} did not start: {''.join(said)}")
        finally:
            server.kill()


def make(address: str, path: str, headers: dict[str, str]) -> None:
    """Make a bucket or a container."""
    connection = http.client.HTTPConnection(address)
    connection.request("PUT", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status in {200, 201}, answer.read()
    connection.close()
