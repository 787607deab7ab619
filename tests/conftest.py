"""How the property tests run: BEDECK_EXAMPLES says how many examples each tries; under CI they are always the same.

And what several tests need of the process they run in.
"""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import servers
from bedeck._objects.local import LocalObjects
from bedeck._objects.remote import RemoteObjects
from bedeck.objects import Objects

settings.register_profile(
    "bedeck",
    deadline=None,  # shared machines stall
    derandomize="CI" in os.environ,
    max_examples=int(os.environ.get("BEDECK_EXAMPLES", "100")),
    print_blob=True,
)
settings.load_profile("bedeck")


def pytest_xdist_auto_num_workers() -> int:
    """Half as many more as there are processors: many a test waits, for a server or for a time that is over."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children that SIGINT and SIGHUP end: of a background job, or of nohup, they would inherit that they do not."""
    heeded = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in heeded.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def s3() -> Iterator[servers.Place]:
    """A bucket of its own for the tests, in an S3 on this machine."""
    with servers.s3() as place:
        yield place


@pytest.fixture(scope="session")
def azure() -> Iterator[servers.Place]:
    """A container of its own for the tests, in an Azure on this machine."""
    with servers.azure() as place:
        yield place


@pytest.fixture(params=["folder", "s3", "azure"])
def new_objects(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Objects]:
    """Makes objects where there are none yet: in a folder, in S3, and in Azure."""
    if request.param == "folder":
        return lambda: LocalObjects(tmp_path / secrets.token_hex(8))
    place: servers.Place = request.getfixturevalue(request.param)
    return lambda: RemoteObjects(f"{place.url}/{secrets.token_hex(8)}/store", **place.options)


@pytest.fixture
def objects(new_objects: Callable[[], Objects]) -> Objects:
    """No objects yet, in a folder, in S3, and in Azure."""
    return new_objects()
