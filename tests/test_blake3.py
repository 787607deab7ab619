"""BLAKE3 in plain Python, held against the official vectors and the core's, which is the official crate."""

import pytest

from bedeck import _core
from bedeck._blake3 import blake3

# From the official test vectors of BLAKE3: the input is the numbers 0 to 250, over and over.
VECTORS = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    63: "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b",
    64: "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98",
    65: "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee",
    1023: "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    2048: "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
    2049: "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
    4097: "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995",
    102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
}


@pytest.mark.parametrize("length", VECTORS)
def test_blake3_gives_the_official_vectors(length: int) -> None:
    assert blake3(bytes(at % 251 for at in range(length))).hex() == VECTORS[length]


@pytest.mark.parametrize("length", [*VECTORS, 127, 129, 2047, 3072, 3073, 5 * 1024, 7 * 1024 + 1, 100_000, 1 << 20])
def test_blake3_agrees_with_the_core(length: int) -> None:
    data = bytes(at * at // 7 % 256 for at in range(length))
    assert blake3(data).hex() == _core.blake3(data)
