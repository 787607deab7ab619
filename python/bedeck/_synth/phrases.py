"""Text by the million from patterns and words, without a Python string in between."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedeck._synth.draws import Numbers, chooser
from bedeck._synth.words import WORDS

__all__ = ["Patterns", "Pieces", "Tokens"]

Tokens = npt.NDArray[np.int32]

_SLOTS = 4


class Pieces:
    """The table of all that text is put together from. A token is a place in it; token 0 is nothing.

    A piece is a word with the text of its pattern that stands before it and, if it is the last, after it.
    """

    def __init__(self) -> None:
        self._text = [""]
        self._places: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._table: pa.StringArray = None
        self.cases = 0

    def add(self, before: str = "", words: str = "", after: str = "") -> tuple[int, int]:
        """Add a piece for each word of a class, or for none; return the first token and how many there are."""
        if (before, words, after) not in self._places:
            choices = WORDS[words].split() if words else [""]
            self._places[before, words, after] = (len(self._text), len(choices))
            self._text += [before + word.replace("_", " ") + after for word in choices]
        return self._places[before, words, after]

    def close(self) -> None:
        """End adding. From now on a token plus `cases` is its piece in upper case, plus twice that in lower case."""
        upper, lower = ([change(text) for text in self._text] for change in (str.upper, str.lower))
        self.cases = len(self._text)
        self._table = pa.array(self._text + upper + lower, pa.string())

    def text(self, tokens: Tokens) -> pa.StringArray:
        """Return the joined text of each row of an (n, k) array of tokens, in O(tokens + bytes)."""
        n, k = tokens.shape
        there = tokens.ravel() > 0
        _, piece_ends, text = self._table.take(pa.array(tokens.ravel()[there])).buffers()
        ends = np.zeros(n + 1, np.int32)
        ends[1:] = np.frombuffer(piece_ends, np.int32).take(np.cumsum(there)[k - 1 :: k])
        return pa.StringArray.from_buffers(n, pa.py_buffer(ends), text)


@dataclass(frozen=True)
class _Pattern:
    weight: int
    slots: tuple[tuple[int, int], ...]  # (first token, how many)

    @property
    def capacity(self) -> int:
        return min(prod(count for _, count in self.slots), 2**32 - 1)


class Patterns:
    """A list of weighted patterns, each with numbered phrases.

    The numbers below a pattern's capacity give different phrases: what repeats is planned, not left to chance.
    """

    def __init__(self, weighted: Iterable[tuple[int, str]], pieces: Pieces) -> None:
        patterns = [_Pattern(weight, tuple(_slots(text, pieces))) for weight, text in weighted]
        self.weights = [pattern.weight for pattern in patterns]
        self.capacities = [pattern.capacity for pattern in patterns]
        self._choose = chooser(self.weights)
        self._capacity = np.array(self.capacities, np.uint64)
        self._stride = np.array([_stride(capacity) for capacity in self.capacities], np.uint64)
        self._first = np.zeros((_SLOTS, len(patterns)), np.int32)
        self._count = np.ones((_SLOTS, len(patterns)), np.uint32)
        for place, pattern in enumerate(patterns):
            for slot, (first, count) in enumerate(pattern.slots):
                self._first[slot, place], self._count[slot, place] = first, count

    def tokens(self, numbers: Numbers, choices: Numbers) -> Tokens:
        """Return the tokens, (n, 4), of phrase `numbers[i]` of the pattern that the 16-bit draw `choices[i]` takes."""
        tokens = np.empty((len(numbers), _SLOTS), np.int32)
        pattern = self._choose.take(choices)
        capacity = self._capacity.take(pattern)
        rest = (numbers.view(np.uint64) % capacity * self._stride.take(pattern) % capacity).astype(np.uint32)
        for slot in range(_SLOTS):
            rest, digit = np.divmod(rest, self._count[slot].take(pattern))
            np.add(self._first[slot].take(pattern), digit, out=tokens[:, slot], casting="unsafe")
        return tokens

    def distinct(self, numbers: int) -> int:
        """Return about how many different phrases so many numbers give, in integers to be the same everywhere."""
        total = sum(self.weights)
        return sum(
            _visited(capacity, numbers, ((total - weight) << 32) // total)
            for weight, capacity in zip(self.weights, self.capacities, strict=True)
        )


def _slots(text: str, pieces: Pieces) -> Sequence[tuple[int, int]]:
    *pairs, tail = re.split(r"\{(\w+)\}", text)
    before, words = pairs[::2], pairs[1::2]
    if not words:
        return [pieces.add(tail)] if tail else []
    after = [""] * (len(words) - 1) + [tail]
    return [pieces.add(*slot) for slot in zip(before, words, after, strict=True)]


def _stride(capacity: int) -> int:
    """Return a step that visits all numbers below the capacity, neighbours far apart."""
    return next(step for step in range(capacity * 2654435769 >> 32 or 1, capacity + 1) if gcd(step, capacity) == 1)


def _visited(capacity: int, numbers: int, miss: int) -> int:
    """Return how many of the places are met by numbers mod capacity, each left out with probability miss / 2^32."""
    rounds, more = divmod(numbers, capacity)
    return sum(
        places * ((1 << 32) - _power(miss, times)) >> 32
        for places, times in ((more, rounds + 1), (capacity - more, rounds))
    )


def _power(base: int, exponent: int) -> int:
    """Return base^exponent, base and result in units of 2^-32."""
    result = 1 << 32
    while exponent:
        if exponent & 1:
            result = result * base >> 32
        base = base * base >> 32
        exponent >>= 1
    return result
