"""What finding a record costs, by itself: a catalogue of many small records, in lists of 100 and in lists of 1."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import bedeck
from benchmarks.clock import Times, take_turns
from benchmarks.processes import apart

__all__ = ["Lookup", "look_up"]

_ALPHABET = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_FIRST = 7  # any 22 characters that begin with one of the first 7 are a number below 2^128
_LENGTH = 22
_BATCH = 1 << 20
_WARM_UP = 1000


@dataclass(frozen=True, slots=True)
class Lookup:
    """Times of a call, by what it answers with and the ids in its list; what the build took, in seconds and bytes."""

    records: int
    seconds: float
    bytes: int
    times: Mapping[tuple[str, int], Times]

    def per_id(self, form: str, size: int) -> float:
        """Nanoseconds an id, by medians."""
        return self.times[form, size].p50 * 1000 / size


def look_up(cache: Path, records: int, lists: int) -> Lookup:
    """Look up so many lists of each length, as lazy records and as empty JSON objects: no field is read."""
    build = apart(_build, cache, records)
    return Lookup(records, build.seconds, build.bytes, apart(_measure, cache, records, lists))


def _build(cache: Path, records: int) -> bedeck.Build:
    store = _store(cache, records)
    shutil.rmtree(store, ignore_errors=True)
    schema = bedeck.Schema({"entity": bedeck.Type(bedeck.Key("id", "base62"))})
    arrow = pa.schema({"id": pa.string(), "value": pa.int32()})
    return bedeck.build(schema, store, {"entity": pa.RecordBatchReader.from_batches(arrow, _batches(records, arrow))})


def _measure(cache: Path, records: int, lists: int) -> dict[tuple[str, int], Times]:
    catalogue = bedeck.open(_store(cache, records))
    nothing = catalogue["entity"].select()
    keys = np.concatenate([_keys(start, stop) for start, stop in _ranges(records)])
    turns = {
        (form, size): (answer, _lists(keys, lists, size, seed=seed * 10_000 + size))
        for seed, (form, answer) in enumerate(
            (("lazy records", nothing.records), ("empty JSON", nothing.decorate_json))
        )
        for size in (1, 100)
    }
    del keys
    catalogue.warm()
    take_turns({name: (answer, texts[:_WARM_UP]) for name, (answer, texts) in turns.items()})
    return take_turns(turns)


def _store(cache: Path, records: int) -> Path:
    return cache / f"records-{records}"


def _ranges(records: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _BATCH, records)) for start in range(0, records, _BATCH))


def _keys(start: int, stop: int) -> npt.NDArray[np.bytes_]:
    random = np.random.default_rng(start)
    digits = random.integers(0, len(_ALPHABET), (stop - start, _LENGTH), np.uint8)
    digits[:, 0] %= _FIRST
    keys: npt.NDArray[np.bytes_] = _ALPHABET[digits].view(f"S{_LENGTH}").ravel()
    return keys


def _batches(records: int, schema: pa.Schema) -> Iterator[Any]:
    for start, stop in _ranges(records):
        ends = np.arange(0, (stop - start + 1) * _LENGTH, _LENGTH, dtype=np.int32)
        text = pa.py_buffer(_keys(start, stop).tobytes())
        ids = pa.StringArray.from_buffers(stop - start, pa.py_buffer(ends), text)
        yield pa.record_batch([ids, pa.array(np.arange(start, stop, dtype=np.int32))], schema=schema)


def _lists(keys: npt.NDArray[np.bytes_], count: int, size: int, seed: int) -> list[str]:
    picks = np.random.default_rng(seed).integers(0, len(keys), (count, size))
    return [b" ".join(keys[row].tolist()).decode() for row in picks]
