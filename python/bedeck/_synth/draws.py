"""Random numbers by counting: draw number i of a stream is a function of the stream and of i alone.

Nothing is drawn in order, so any part of a sequence can be made anywhere and at any time. All of it is integer
arithmetic: the last bit of a logarithm is not the same on every machine.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from math import gcd

import numpy as np
import numpy.typing as npt

__all__ = ["Draws", "Numbers", "Shuffle", "chooser", "draw", "quantiles", "sixteen", "skewed", "stream", "thirty_two"]

Draws = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def stream(seed: int, name: str) -> int:
    """Return where the stream of that name starts, 64 bits."""
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little")


def draw(start: int, numbers: Numbers) -> Draws:
    """Return a uniform 64-bit draw for each number: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) at that count."""
    x: Draws = np.multiply(numbers, 0x9E3779B97F4A7C15, dtype=np.uint64, casting="unsafe")
    x += start
    x ^= x >> 30
    x *= 0xBF58476D1CE4E5B9
    x ^= x >> 27
    x *= 0x94D049BB133111EB
    x ^= x >> 31
    return x


def sixteen(draws: Draws, place: int) -> Numbers:
    """Return bits 16 place to 16 place + 15 of each draw."""
    return ((draws >> 16 * place) & 0xFFFF).view(np.int64)


def thirty_two(draws: Draws, place: int) -> Draws:
    """Return the lower (place 0) or the upper (place 1) half of each draw."""
    return (draws >> np.uint64(32 * place)) & np.uint64(0xFFFFFFFF)


def skewed(halves: Draws, n: Draws | int) -> Numbers:
    """Turn 32-bit draws into numbers below n (at most 2^32) of which a tenth falls into the first hundredth."""
    half = np.uint64(32)
    places: Draws = np.multiply(halves * halves >> half, n, dtype=np.uint64) >> half
    return places.view(np.int64)


def chooser(weights: Sequence[int], bits: int = 16) -> npt.NDArray[np.int16]:
    """Return which choice each draw of so many bits stands for, each as often as its weight says."""
    total = sum(weights)
    ends = [(end << bits) // total for end in accumulate(weights)]
    return np.searchsorted(ends, np.arange(1 << bits), side="right").astype(np.int16)


def quantiles(points: Mapping[int, int]) -> npt.NDArray[np.int32]:
    """Return which value each 16-bit draw stands for: given by per mille from 0 to 1000, straight lines in between."""
    table = np.empty(65536, np.int32)
    for (low, first), (high, last) in pairwise(points.items()):
        place = np.arange(low * 65536 // 1000, high * 65536 // 1000)
        table[place] = first + (last - first) * (place * 1000 - low * 65536) // ((high - low) * 65536)
    return table


class Shuffle:
    """A permutation of the numbers below n (at most 2^32) that takes no memory: i -> (i a + b) mod n."""

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._factor = n * 2654435769 >> 32  # the golden section: neighbours come to lie far apart
        while gcd(self._factor, n) != 1:
            self._factor += 1
        self._inverse = pow(self._factor, -1, n)
        self._shift = stream(seed, "shuffle") % n

    def forth(self, numbers: Numbers) -> Numbers:
        """Return the places of these numbers."""
        return self._modulo(numbers.view(np.uint64) * self._factor + self._shift)

    def back(self, places: Numbers) -> Numbers:
        """Return the numbers at these places."""
        unshifted = self._modulo(places.view(np.uint64) + (self._n - self._shift))
        return self._modulo(unshifted.view(np.uint64) * self._inverse)

    def _modulo(self, x: Draws) -> Numbers:
        return (x - x // self._n * self._n).view(np.int64)  # ten times as fast as numpy's % by a scalar
