"""BLAKE3 in plain Python: the hash of the format's checksums, names and digests, for `bedeck.reference`.

BLAKE3 cuts its input into chunks of 1,024 bytes, compresses each on its own into a node of eight 32-bit words, and
joins the nodes in pairs, level by level, into one root (https://github.com/BLAKE3-team/BLAKE3-specs).

Chunks do not depend on each other, so they are compressed side by side: a "lane word" here is one Python integer that
holds the same 32-bit word of every chunk, 64 bits apart, and one operation on it works on all of them. This reads
like the specification and is some thirty times faster than chunk by chunk: about 20 MB/s. Keyed hashing, key
derivation and output longer than 32 bytes are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

__all__ = ["blake3"]

Node = tuple[int, ...]

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CHUNK, BLOCK, ROUNDS = 1024, 64, 7


def blake3(data: bytes) -> bytes:
    """The 32-byte BLAKE3 of `data`. Time and memory are linear in its length; best given a few MB at a time."""
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] or [b""]
    if len(chunks) == 1:
        return _packed(_chunk_nodes(chunks, 0, ROOT)[0])
    nodes = _chunk_nodes(chunks[:-1], 0, 0) + _chunk_nodes(chunks[-1:], len(chunks) - 1, 0)
    while nodes[2:]:
        paired = len(nodes) // 2 * 2
        nodes = _parent_nodes(nodes[:paired], 0) + nodes[paired:]
    return _packed(_parent_nodes(nodes, ROOT)[0])


def _chunk_nodes(chunks: Sequence[bytes], first: int, root: int) -> list[Node]:
    """The nodes of chunks that are all of one length, the first of them being chunk number `first`."""
    size, ones = len(chunks[0]), _lane_word([1] * len(chunks))
    counter = _lane_word(range(first, first + len(chunks)))
    low = ones * 0xFFFFFFFF
    chain = [word * ones for word in IV]
    for start in range(0, max(size, 1), BLOCK):
        rows = [struct.unpack("<16I", chunk[start : start + BLOCK].ljust(BLOCK, b"\0")) for chunk in chunks]
        flags = (CHUNK_START if start == 0 else 0) | (CHUNK_END | root if start + BLOCK >= size else 0)
        tail = [counter & low, counter >> 32 & low, min(size - start, BLOCK) * ones, flags * ones]
        chain = _compress(chain, _lane_words(rows), tail, ones)
    return _nodes(chain, len(chunks))


def _parent_nodes(nodes: Sequence[Node], root: int) -> list[Node]:
    """The parents of nodes taken two by two."""
    rows = [left + right for left, right in zip(nodes[::2], nodes[1::2], strict=True)]
    ones = _lane_word([1] * len(rows))
    tail = [0, 0, BLOCK * ones, (PARENT | root) * ones]
    return _nodes(_compress([word * ones for word in IV], _lane_words(rows), tail, ones), len(rows))


def _compress(chain: list[int], block: list[int], tail: list[int], ones: int) -> list[int]:
    """The compression function on lane words; `tail` is counter (two words), length, flags; `ones` 1 in each lane."""
    low = ones * 0xFFFFFFFF
    state = [*chain, *(word * ones for word in IV[:4]), *tail]
    for _ in range(ROUNDS):
        for (a, b, c, d), x, y in zip(COLUMNS + DIAGONALS, block[::2], block[1::2], strict=True):
            for addend, turn_d, turn_b in ((x, 16, 12), (y, 8, 7)):
                state[a] = state[a] + state[b] + addend & low
                state[d] = _rotated(state[d] ^ state[a], turn_d, low)
                state[c] = state[c] + state[d] & low
                state[b] = _rotated(state[b] ^ state[c], turn_b, low)
        block = [block[at] for at in PERMUTATION]
    return [left ^ right for left, right in zip(state[:8], state[8:], strict=True)]


def _rotated(word: int, places: int, low: int) -> int:
    return (word >> places | word << 32 - places) & low


def _lane_words(rows: Sequence[Node]) -> list[int]:
    return [_lane_word(column) for column in zip(*rows, strict=True)]


def _lane_word(column: Iterable[int]) -> int:
    words = tuple(column)
    return int.from_bytes(struct.pack(f"<{len(words)}Q", *words), "little")


def _nodes(words: list[int], lanes: int) -> list[Node]:
    return list(zip(*(struct.unpack(f"<{lanes}Q", word.to_bytes(8 * lanes, "little")) for word in words), strict=True))


def _packed(node: Node) -> bytes:
    return struct.pack("<8I", *node)
