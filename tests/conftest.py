"""How the property tests run: BEDECK_EXAMPLES says how many examples each tries; under CI they are always the same.

And what several tests need of the process they run in.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile(
    "bedeck",
    deadline=None,  # shared machines stall
    derandomize="CI" in os.environ,
    max_examples=int(os.environ.get("BEDECK_EXAMPLES", "100")),
    print_blob=True,
)
settings.load_profile("bedeck")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children that a SIGINT ends: in a background job of a shell, they would inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
