"""What a blob's directory describes, held against the formulas of docs/format.md."""

import datetime as dt
import json
import math
import struct
import uuid
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck._guard import Json, Section
from bedeck._layout import (
    Field,
    Index,
    Item,
    Key,
    Locator,
    Number,
    Type,
    Var,
    escape,
    hash_key,
    high,
    mix,
    read_table,
    read_varint,
    shortest,
    split_items,
    unescape,
    varint,
)
from bedeck.errors import DamagedError, FormatError

U64 = (1 << 64) - 1


def key(kind: str, *, signed: bool = True) -> Key:
    width = {"base62": 16, "uuid": 16, "int": 8}.get(kind, 0)
    return Key.read(node({"field": "id", "kind": kind, "width": width, "signed": signed}))


def node(value: object) -> Json:
    return Json("file: directory", value)


def section(data: bytes) -> Section:
    return Section("file", "records", data)


def type_of(text: str) -> Type:
    return Type.parse(node(text))


# Keys


@given(st.integers(0, (1 << 128) - 1))
def test_base62_and_uuid_keys_round_trip(number: int) -> None:
    stored = number.to_bytes(16, "big")
    for kind in ("base62", "uuid"):
        text = key(kind).value(stored)
        assert key(kind).stored(text) == stored
        assert key(kind).canonical(text) == bytes([len(str(text))]) + str(text).encode()
    assert key("uuid").value(stored) == str(uuid.UUID(int=number))
    assert key("uuid").stored(uuid.UUID(int=number)) == stored


def test_base62_digits_come_before_lower_before_upper_case() -> None:
    assert key("base62").value(bytes(16)) == "0" * 22
    assert key("base62").value((61).to_bytes(16, "big")) == "0" * 21 + "Z"
    assert key("base62").value(b"\xff" * 16) == "7N42dgm5tFLK9N8MT7fHC7"


@pytest.mark.parametrize(
    "text", ["7N42dgm5tFLK9N8MT7fHC8", "Z" * 22, "0" * 21, "0" * 23, "0" * 21 + "-", "0" * 21 + "é", ""]
)
def test_what_is_no_base62_key_is_a_miss(text: str) -> None:
    assert key("base62").stored(text) is None


def test_uuids_are_read_in_either_case_and_without_hyphens() -> None:
    stored = bytes.fromhex("6ba7b8109dad11d180b400c04fd430c8")
    for text in ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B8109DAD11D180B400C04FD430C8"):
        assert key("uuid").stored(text) == stored
    for text in ("6ba7b810-9dad-11d1-80b400c04fd430c8", "6ba7b810-9dad-11d1-80b4_00c04fd430c8", "", "6" * 31):
        assert key("uuid").stored(text) is None


def test_int_keys_are_signed_or_not() -> None:
    assert key("int").stored(-1) == b"\xff" * 8
    assert key("int").value(b"\xff" * 8) == -1
    assert key("int").canonical(-1) == b"\xff" * 8
    assert key("int", signed=False).value(b"\xff" * 8) == U64
    assert key("int").stored(1 << 63) is None
    assert key("int", signed=False).stored(-1) is None
    assert key("int", signed=False).stored(U64) == b"\xff" * 8


def test_string_and_bytes_keys_are_themselves() -> None:
    assert key("string").stored('"é') == '"é'.encode()
    assert key("string").value('"é'.encode()) == '"é'
    assert key("bytes").stored(b"\0") == b"\0"
    assert key("string").stored("a" * 65_535) is not None
    assert key("string").stored("a" * 65_536) is None
    assert key("bytes").stored(bytes(65_536)) is None
    assert key("string").stored("\ud800") not in (None, b"")
    assert key("bytes").canonical(bytes(200)) == b"\xc8\x01" + bytes(200)


def test_a_key_without_a_record_is_kept_as_its_text() -> None:
    assert key("base62").parse(b"no key") == "no key"
    assert key("bytes").parse(b"\xff") == b"\xff"
    assert key("int").parse(b"\xff" * 8) == -1
    assert key("int", signed=False).parse(b"\xff" * 8) == U64


@pytest.mark.parametrize(
    ("kind", "wrong"), [("base62", 1), ("uuid", b""), ("int", "1"), ("int", True), ("string", b""), ("bytes", "")]
)
def test_what_cannot_be_a_key_is_a_type_error(kind: str, wrong: object) -> None:
    with pytest.raises(TypeError, match=kind):
        key(kind).stored(wrong)


def test_a_kind_of_key_that_is_not_known_is_of_a_newer_format() -> None:
    with pytest.raises(FormatError, match="kind"):
        Key.read(node({"field": "id", "kind": "ulid", "width": 16}))


# Hash, index, locator


def test_mix_is_the_finaliser_of_splitmix64() -> None:
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # the first number of SplitMix64 seeded with 0


@given(st.integers(0, U64))
def test_hashes_fold_words_of_eight_bytes(seed: int) -> None:
    start = [mix(length ^ (seed * 0x9E3779B97F4A7C15) % 2**64) for length in range(17)]
    word = int.from_bytes(b"abcdefgh", "little")
    assert hash_key(b"", seed) == start[0]
    assert hash_key(b"abcdefgh", seed) == mix(start[8] ^ word)
    assert hash_key(b"abcdefghi", seed) == mix(mix(start[9] ^ word) ^ ord("i"))
    assert hash_key(b"abcdefgh" + bytes(8), seed) == mix(mix(start[16] ^ word))


def test_hash_of_a_known_key_stays_what_it_is() -> None:
    assert hash_key(bytes(16), 0) == 0xAD9052D17013CDE3
    assert hash_key(b"bedeck", 7) == 0xDA6A814F132CA3D3


@given(st.binary(max_size=40), st.integers(0, U64), st.integers(1, 5), st.integers(1, 9), st.integers(1, 99))
def test_every_key_leads_to_a_slot(stored: bytes, seed: int, parts: int, buckets: int, slots: int) -> None:
    pilots = bytes((seed + at) * 37 % 256 for at in range(parts * buckets))
    shape = {"seed": seed, "parts": parts, "buckets": buckets, "slots": slots}
    slot = Index.read(node(shape), section(pilots)).slot(stored)
    assert slot // slots == high(hash_key(stored, seed), parts)
    with pytest.raises(DamagedError, match="pilots"):
        Index.read(node(shape), section(pilots + b"\0"))


@given(st.integers(0, U64), st.integers(0, U64))
def test_buckets_ascend_with_hashes_and_do_not_overflow(one: int, other: int) -> None:
    assert Index.skewed(min(one, other)) <= Index.skewed(max(one, other)) <= Index.skewed(U64) <= U64


@given(st.lists(st.integers(0, 300), min_size=1, max_size=90), st.sampled_from([(2, 28, "H"), (4, 14, "I")]))
def test_locator_gives_where_each_record_lies(lengths: list[int], line: tuple[int, int, str]) -> None:
    width, places, code = line
    data, base = b"", 1 << 40
    for at in range(0, len(lengths), places):
        taken = lengths[at : at + places]
        ends = [sum(taken[: place + 1]) for place in range(places)]
        data += struct.pack(f"<Q{places}{code}", base, *ends)
        base += ends[-1]
    locator = Locator(section(data), width, len(lengths))
    position = 1 << 40
    for slot, length in enumerate(lengths):
        assert locator.extent(slot) == (position, position + length)
        position += length
    with pytest.raises(DamagedError, match="slot"):
        locator.extent(len(lengths))
    with pytest.raises(DamagedError, match="long"):
        Locator(section(data + bytes(64)), width, len(lengths))


def test_records_of_one_length_need_no_lines() -> None:
    locator = Locator(section(b""), 0, 3, 5)
    assert [locator.extent(slot) for slot in range(3)] == [(0, 5), (5, 10), (10, 15)]
    with pytest.raises(DamagedError, match="slot"):
        locator.extent(3)
    for data, length in ((bytes(64), 5), (b"", 0)):
        with pytest.raises(DamagedError):
            Locator(section(data), 0, 3, length)


def test_locator_refuses_a_record_that_ends_before_it_starts() -> None:
    locator = Locator(section(struct.pack("<Q28H", 0, 5, 4, *[9] * 26)), 2, 28)
    with pytest.raises(DamagedError, match="slot 1"):
        locator.extent(1)


# Bits, varints, text, lists, tables


@given(st.binary(min_size=1, max_size=20), st.data())
def test_bits_are_those_of_the_word_at_their_byte(data: bytes, draw: st.DataObject) -> None:
    bits = draw.draw(st.integers(0, min(56, 8 * len(data))))
    offset = draw.draw(st.integers(0, 8 * len(data) - bits))
    (word,) = struct.unpack("<Q", (data + bytes(64))[offset // 8 :][:8])
    assert section(data).bits(offset, bits) == (word >> offset % 8) % (1 << bits)


def test_bits_and_bytes_stay_within_their_section() -> None:
    assert section(b"\xff" * 9).bits(8, 64) == U64
    for offset, length in ((0, 4), (3, 1), (-1, 1), (4, 0), (U64, U64)):
        with pytest.raises(DamagedError, match="file: records: has 3 bytes"):
            section(b"abc").take(offset, length)
    with pytest.raises(DamagedError, match="records"):
        section(b"abc").bits(17, 8)


@given(st.integers(0, U64), st.binary(max_size=3))
def test_varints_round_trip(number: int, after: bytes) -> None:
    assert read_varint(b"x" + varint(number) + after, 1) == (number, len(varint(number)) + 1)


def test_varints_are_leb128() -> None:
    assert [varint(number) for number in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\1", b"\xac\2"]
    for broken in (b"", b"\x80", b"\xff" * 11):
        with pytest.raises((IndexError, ValueError)):
            read_varint(broken, 0)


@given(st.text())
def test_text_is_escaped_as_json_needs_and_no_more(text: str) -> None:
    assert escape(text) == json.dumps(text, ensure_ascii=False)[1:-1]
    assert unescape(escape(text).encode()) == text


@pytest.mark.parametrize(
    "stored", [rb"\/", rb"\u0041", rb"\u001F", rb"\u000a", b'"', b"\n", b"\\", rb"\x", b"\xff", rb"\ud800"]
)
def test_text_that_is_not_escaped_like_this_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the words are those of whoever noticed: UTF-8, JSON or unescape
        unescape(stored)


@given(st.lists(st.none() | st.binary(max_size=200)))
def test_lists_of_byte_strings(items: list[bytes | None]) -> None:
    data = b"".join(b"\0" if item is None else varint(1 + len(item)) + item for item in items)
    assert split_items(data) == items


def test_a_list_that_is_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="short"):
        split_items(b"\5abc")


@given(st.lists(st.none() | st.integers(0, 255), max_size=30), st.integers(1, 8), st.integers(-1 << 63, U64))
def test_lists_of_numbers(items: list[int | None], width: int, base: int) -> None:
    nulls = None in items
    null = sum(1 << place for place, item in enumerate(items) if item is None)
    bitmap = null.to_bytes((len(items) + 7) // 8, "little") if nulls else b""
    data = bitmap + b"".join((item or 0).to_bytes(width, "little") for item in items)
    split = Item.read(node({"width": width, "base": base, "nulls": nulls})).split(data)
    assert split == [None if item is None else (item + base) % 2**64 for item in items]


def test_a_list_of_numbers_has_a_length_that_fits() -> None:
    for nulls, length in ((False, 3), (True, 1), (True, 4)):
        with pytest.raises(ValueError, match="items of 2 bytes"):
            Item(2, 0, nulls).split(bytes(length))


@given(st.sets(st.binary(max_size=9)).map(sorted), st.binary(max_size=9))
def test_tables(entries: list[bytes], before: bytes) -> None:
    ends = [sum(map(len, entries[:count])) for count in range(len(entries) + 1)]
    data = before + struct.pack(f"<{len(ends)}Q", *ends) + b"".join(entries)
    described = node({"offset": len(before), "count": len(entries)})
    assert read_table(described, section(data)) == tuple(entries)
    with pytest.raises(DamagedError):
        read_table(described, section(data[:-1]))


@pytest.mark.parametrize("ends", [(0, 1, 9), (1, 1, 2), (0, 2, 1), (0, 1, U64), (0, 0, 0)])
def test_tables_with_wrong_ends_are_refused(ends: tuple[int, ...]) -> None:
    with pytest.raises(DamagedError):
        read_table(node({"offset": 0, "count": 2}), section(struct.pack("<3Q", *ends) + b"ab"))


def test_tables_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(DamagedError, match="ascending"):
        read_table(node({"offset": 0, "count": 2}), section(struct.pack("<3Q", 0, 1, 2) + b"ba"))


# Types and fields


def test_integers_are_twos_complement() -> None:
    assert type_of("int8").value(U64) == -1
    assert type_of("int64").value(1 << 63) == -(1 << 63)
    assert type_of("uint64").value(U64) == U64
    assert type_of("int16").canonical(U64) == b"\xff" * 8
    assert [type_of("bool").value(raw) for raw in (0, 1)] == [False, True]
    assert type_of("bool").canonical(1) == b"\1"


@given(st.floats(width=32))
def test_float32_is_exact_in_python_and_short_in_json(number: float) -> None:
    (raw,) = struct.unpack("<I", struct.pack("<f", number))
    assert struct.pack("<d", type_of("float32").value(raw)) == struct.pack("<d", number)
    assert type_of("float32").canonical(raw) == struct.pack("<f", number)
    if math.isfinite(number):
        assert struct.pack("<f", type_of("float32").json_value(raw)) == struct.pack("<f", number)
    else:
        assert type_of("float32").json_value(raw) is None


def test_float32_in_json_has_the_fewest_digits() -> None:
    for text in ("0.1", "16777216.0", "3.4028235e+38", "1e-45", "0.33333334", "-0.0", "1.2621775e-29"):
        (number,) = struct.unpack("<f", struct.pack("<f", float(text)))
        assert repr(shortest(number)) == text


@given(st.floats())
def test_float64_is_exact(number: float) -> None:
    (raw,) = struct.unpack("<Q", struct.pack("<d", number))
    assert struct.pack("<d", type_of("float64").value(raw)) == struct.pack("<d", number)
    json_value = type_of("float64").json_value(raw)
    assert json_value == number if math.isfinite(number) else json_value is None


@given(st.dates())
def test_dates_are_days_since_1970(date: dt.date) -> None:
    raw = (date - dt.date(1970, 1, 1)).days % 2**64
    assert type_of("date").value(raw) == date


@pytest.mark.parametrize(
    ("unit", "ticks", "micro", "text"),
    [
        ("s", -1, 0, "1969-12-31T23:59:59Z"),
        ("ms", -1, 999_000, "1969-12-31T23:59:59.999Z"),
        ("us", -1, 999_999, "1969-12-31T23:59:59.999999Z"),
        ("ns", -1, 999_999, "1969-12-31T23:59:59.999999999Z"),
        ("s", -62_135_596_800, 0, "0001-01-01T00:00:00Z"),
        ("us", 253_402_300_799_999_999, 999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_timestamps(unit: str, ticks: int, micro: int, text: str) -> None:
    moment = type_of(f"timestamp[{unit}]").value(ticks % 2**64)
    assert isinstance(moment, dt.datetime)
    assert (moment.tzinfo, moment.microsecond) == (None, micro)
    assert moment.isoformat(timespec="seconds") == text[:19]
    assert type_of(f"timestamp[{unit}]").json_value(ticks % 2**64) == text


def test_timestamps_with_a_zone() -> None:
    value = type_of("timestamp[s,Europe/Stockholm]").value(0)
    assert isinstance(value, dt.datetime)
    assert value.tzinfo == zoneinfo.ZoneInfo("Europe/Stockholm")
    assert value.isoformat() == "1970-01-01T01:00:00+01:00"
    assert str(type_of("timestamp[s,-02:30]").value(0)) == "1969-12-31 21:30:00-02:30"
    assert type_of("timestamp[s,Europe/Stockholm]").json_value(0) == "1970-01-01T00:00:00Z"


def test_types_are_read_as_catalogues_write_them() -> None:
    assert type_of("list<timestamp[us,Europe/Stockholm]>") == Type("timestamp", "us", "Europe/Stockholm", is_list=True)
    assert type_of("uint64") == Type("uint64")
    for text in ("int", "list<int8", "int8>", "list<list<int8>>", "timestamp", "timestamp[m]", "float16", " bool", ""):
        with pytest.raises(FormatError, match="not a type"):
            type_of(text)


BITS = {"offset": 0, "bits": 8, "base": 0}
VAR = {"order": 0, "offset": 0, "bits": 8, "unit": 1, "long": False}


@pytest.mark.parametrize(
    "members",
    [
        {"type": "int8"},
        {"type": "int8", "bits": BITS, "var": VAR},
        {"type": "int8", "var": VAR},
        {"type": "int8", "bits": BITS, "values": {"offset": 0, "count": 0}},
        {"type": "string", "bits": BITS},
        {"type": "list<int8>", "var": VAR},
        {"type": "list<string>", "var": VAR, "item": {"width": 1, "base": 0, "nulls": False}},
        {"type": "reference", "bits": BITS},
        {"type": "int8", "bits": BITS, "reference": {"name": "a", "type": "b"}},
        {"type": "int8", "bits": BITS | {"offset": 1}},
        {"type": "int8", "bits": BITS | {"bits": 65}},
        {"type": "int8", "bits": BITS | {"offset": -1}},
        {"type": "int8", "bits": BITS | {"base": 1 << 64}},
        {"type": "int8", "bits": BITS | {"bits": True}},
        {"type": "int8", "bits": BITS, "null_bit": 8},
        {"type": "string", "var": VAR | {"long": 1}},
        {"type": "string", "bits": BITS, "values": {"offset": 0, "count": 1 << 62}},
    ],
)
def test_fields_that_cannot_be_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(DamagedError, match="file: directory"):
        Field.read(node({"id": 1, "name": "a"} | members), 1, Section("file", "directory: values", bytes(8)))


def test_numbers_of_more_than_56_bits_start_at_a_byte() -> None:
    assert Number.read(node(BITS | {"offset": 4, "bits": 56}), 9).bits == 56
    for bits in (57, 64):
        assert Number.read(node(BITS | {"offset": 8, "bits": bits}), 9).bits == bits
        with pytest.raises(DamagedError, match="offset"):
            Number.read(node(BITS | {"offset": 4, "bits": bits}), 9)


@pytest.mark.parametrize("wrong", [{"bits": 32}, {"unit": 0}, {"unit": 9}, {"order": -1}, {"offset": 65}])
def test_a_length_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    assert Var.read(node(VAR | {"bits": 31, "unit": 8}), 9).unit == 8
    with pytest.raises(DamagedError):
        Var.read(node(VAR | wrong), 9)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("int8", "int8 int16 int32 int64"),
        ("int64", "int64"),
        ("uint8", "uint8 uint16 uint32 uint64 int16 int32 int64"),
        ("uint32", "uint32 uint64 int64"),
        ("uint64", "uint64"),
        ("string", "string categorical"),
        ("categorical", "string categorical"),
        ("binary", "binary"),
        ("bool", "bool"),
        ("float32", "float32"),
        ("date", "date"),
        ("timestamp[us]", "timestamp[us]"),
        ("timestamp[us,UTC]", "timestamp[us,UTC]"),
        ("reference", "reference"),
    ],
)
def test_what_values_of_a_type_may_be_read_as(narrow: str, wide: str) -> None:
    types = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 string binary date categorical"
    for text in (*types.split(), "timestamp[us]", "timestamp[ns]", "timestamp[us,UTC]", "reference"):
        assert type_of(narrow).widens_to(type_of(text)) == (text in wide.split())
        assert type_of(f"list<{narrow}>").widens_to(type_of(f"list<{text}>")) == (text in wide.split())
        assert not type_of(narrow).widens_to(type_of(f"list<{text}>"))
        assert not type_of(f"list<{narrow}>").widens_to(type_of(text))
