"""Where a duration is counted: buckets that grow with it, as HdrHistogram has them (http://hdrhistogram.org).

128 buckets for each power of two of microseconds, so that what a bucket tells is off by less than 1 %.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

__all__ = ["BUCKETS", "at_most", "bucket", "quantiles"]

BITS: Final = 7
MOST: Final = 27  # bits of the longest duration that is told apart: two minutes
BUCKETS: Final = (MOST - BITS + 1) << BITS


def bucket(seconds: float) -> int:
    """The bucket of a duration."""
    micros = int(seconds * 1e6)
    if micros >> MOST:
        return BUCKETS - 1
    shift = micros.bit_length() - BITS - 1
    return micros if shift <= 0 else (shift << BITS) + (micros >> shift)


def upper(place: int) -> float:
    """What the durations in a bucket are below, in seconds."""
    shift = max(0, (place >> BITS) - 1)
    return ((place - (shift << BITS) + 1) << shift) / 1e6


def at_most(counts: Sequence[int], bounds: Sequence[float]) -> list[int]:
    """How many durations are not over each of ``bounds``, which ascend."""
    sums = [0, *accumulate(counts)]
    return [sums[bucket(bound)] for bound in bounds]


def quantiles(counts: Sequence[int], wanted: Sequence[float]) -> list[float]:
    """The durations that shares ``wanted`` of all are not over, in seconds; 0 where there is none."""
    sums = list(accumulate(counts))
    total = sums[-1]
    found = []
    for share in wanted:
        rank = max(1, -int(-share * total // 1))
        found.append(upper(bisect_left(sums, rank)) if total else 0.0)
    return found
