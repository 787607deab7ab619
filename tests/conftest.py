"""How the property tests run: BEDECK_EXAMPLES says how many examples each tries; under CI they are always the same."""

import os

from hypothesis import settings

settings.register_profile(
    "bedeck",
    deadline=None,  # shared machines stall
    derandomize="CI" in os.environ,
    max_examples=int(os.environ.get("BEDECK_EXAMPLES", "100")),
    print_blob=True,
)
settings.load_profile("bedeck")
