"""What is counted, before it is told over HTTP."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bedeck._serve.exposition import exposition
from bedeck._serve.metrics import Block
from bedeck._serve.route import DECORATE

SECONDS = st.floats(0, 100)


def told(block: Block) -> dict[tuple[str, tuple[str, ...]], float]:
    found = {}
    for family in text_string_to_metric_families(exposition(block).decode()):
        for sample in family.samples:
            found[sample.name, tuple(sample.labels.values())] = sample.value
    return found


def line(block: Block, name: str) -> str:
    return next(text for text in exposition(block).decode().splitlines() if text.startswith(f"{name} "))


def test_counters_have_all_their_digits():
    block = Block(2)
    block.slots[0].answered(DECORATE, 200, 0.001, 12_345_678_901_234)
    block.slots[1].answered(DECORATE, 200, 0.001, 5)
    block.slots[1].decorated(98_765_432_109_876, 1)
    assert line(block, "bedeck_http_sent_bytes_total") == "bedeck_http_sent_bytes_total 12345678901239"
    assert line(block, "bedeck_decorate_ids_total") == "bedeck_decorate_ids_total 98765432109876"


@given(st.lists(st.lists(SECONDS), min_size=1, max_size=4).filter(any))
def test_workers_count_as_one(of_workers: list[list[float]]):
    block = Block(len(of_workers))
    for slot, durations in zip(block.slots, of_workers, strict=True):
        for seconds in durations:
            slot.answered(DECORATE, 200, seconds, 10)
    found, every = told(block), sorted(seconds for of in of_workers for seconds in of)
    name = "bedeck_http_request_duration_seconds"
    assert found["bedeck_http_requests_total", ("decorate", "200")] == len(every)
    assert found[f"{name}_count", ("decorate",)] == len(every)
    assert abs(found[f"{name}_sum", ("decorate",)] - sum(every)) <= 1e-6 * len(every) + 1e-9
    assert found["bedeck_http_sent_bytes_total", ()] == 10 * len(every)
    for (of, labels), value in found.items():
        if of == "bedeck_http_request_quantile_seconds":
            exact = every[max(1, -int(-float(labels[1]) * len(every) // 1)) - 1]
            assert exact - 1e-9 <= value <= exact * 1.01 + 2e-6


@given(st.lists(SECONDS, min_size=1), st.sampled_from([1e-5, 0.001, 0.05, 5.0]))
def test_buckets_hold_what_is_not_over_their_bound(durations: list[float], bound: float):
    block = Block(1)
    for seconds in durations:
        block.slots[0].answered(DECORATE, 200, seconds, 0)
    value = told(block)["bedeck_http_request_duration_seconds_bucket", ("decorate", f"{bound:g}")]
    near: Any = [seconds for seconds in durations if abs(seconds - bound) <= bound * 0.01 + 1e-6]
    assert abs(value - sum(seconds <= bound for seconds in durations)) <= len(near)
