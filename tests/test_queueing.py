"""Queues, against what is known in closed form, and against queues that are played through."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck.queueing import Queue, breaking_rate, erlang_c

SHARES = (0.5, 0.9, 0.99, 0.999)
EVEN = (np.arange(20_000) + 0.5) / 20_000
EXPONENTIAL = -np.log1p(-EVEN) * 1e-3  # a mean of a millisecond, by its quantiles


def played(service: np.ndarray, rate: float, servers: int = 1, requests: int = 400_000) -> np.ndarray:
    """Response times of requests that come at random and take turns (Lindley's recursion, for several servers too)."""
    draw = np.random.default_rng(7)
    if servers == 1:
        took = draw.choice(service, 10 * requests)
        moved = np.cumsum(np.append(0.0, took[:-1] - draw.exponential(1 / rate, len(took) - 1)))
        return (moved - np.minimum.accumulate(moved) + took)[requests:]
    arrivals = np.cumsum(draw.exponential(1 / rate, requests))
    took = draw.choice(service, requests)
    free, responses = [0.0] * servers, np.empty(requests)
    for place in range(requests):
        server = min(range(servers), key=free.__getitem__)
        free[server] = max(free[server], arrivals[place]) + took[place]
        responses[place] = free[server] - arrivals[place]
    return responses[requests // 20 :]


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.95])
def test_exponential_services_give_exponential_responses(load: float):
    queue = Queue(EXPONENTIAL)
    rate = load * queue.saturation
    response = queue.response(rate)
    for share in SHARES:
        assert response.quantile(share) == pytest.approx(-log(1 - share) / (queue.saturation - rate), rel=0.03)


@pytest.mark.parametrize("load", [0.2, 0.7, 0.9])
def test_constant_services_wait_half_as_long(load: float):
    constant, exponential = Queue([1e-3]), Queue(EXPONENTIAL)
    rate = load * 1000
    assert constant.mean_wait(rate) == pytest.approx(load * 1e-3 / (2 * (1 - load)))
    assert constant.mean_wait(rate) == pytest.approx(
        exponential.mean_wait(rate * exponential.saturation / 1000) / 2, rel=0.02
    )


@pytest.mark.parametrize("load", [0.3, 0.7, 0.85])
@pytest.mark.parametrize("kind", ["lognormal", "two kinds"])
def test_the_distribution_is_that_of_a_queue_played_through(kind: str, load: float):
    draw = np.random.default_rng(1)
    service = draw.lognormal(-7, 0.6, 5000) if kind == "lognormal" else np.repeat([1e-4, 2e-3], [4500, 500])
    queue = Queue(service)
    found = played(service, load * queue.saturation)
    response = queue.response(load * queue.saturation)
    for share in (0.5, 0.9, 0.99):
        assert response.quantile(share) == pytest.approx(np.quantile(found, share), rel=0.08)
    assert response.mean == pytest.approx(found.mean(), rel=0.08)


@pytest.mark.parametrize("servers", [2, 4])
def test_several_servers_with_one_line(servers: int):
    queue = Queue(EXPONENTIAL, servers=servers)
    rate = 0.8 * queue.saturation
    found = played(EXPONENTIAL, rate, servers)
    response = queue.response(rate)
    assert response.mean == pytest.approx(found.mean(), rel=0.05)
    for share in (0.5, 0.9, 0.99):
        assert response.quantile(share) == pytest.approx(np.quantile(found, share), rel=0.08)


def test_erlang_c_is_what_tables_have():
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 0.75) == pytest.approx(0.6429, abs=1e-4)
    assert erlang_c(10, 0.8) == pytest.approx(0.4092, abs=1e-4)


def test_without_load_nobody_waits():
    queue = Queue([2e-3])
    assert queue.mean_wait(0) == 0
    assert queue.response(0).quantile(0.999) == pytest.approx(2e-3, rel=0.02)


@given(
    st.lists(st.floats(1e-5, 1e-2), min_size=1, max_size=20),
    st.floats(0.01, 0.9),
    st.floats(0.01, 0.9),
    st.integers(1, 4),
)
def test_more_load_is_never_sooner(service: list[float], one: float, other: float, servers: int):
    queue = Queue(service, servers=servers)
    low, high = (queue.response(load * queue.saturation) for load in sorted((one, other)))
    quantiles = [[of.quantile(share) for share in SHARES] for of in (low, high)]
    step = low.step + high.step
    for less, more in zip(*quantiles, strict=True):
        assert less <= more + 2 * step
    assert quantiles[0] == sorted(quantiles[0])
    assert low.mean >= queue.mean * 0.999
    assert low.mass.sum() == pytest.approx(1, abs=1e-3)


def test_the_breaking_rate_is_where_the_bound_breaks():
    queue = Queue(EXPONENTIAL)
    bound = 20e-3
    rate = breaking_rate(queue, 0.99, bound)
    assert rate == pytest.approx(queue.saturation + log(0.01) / bound, rel=0.02)
    assert queue.response(rate * 0.99).quantile(0.99) <= bound < queue.response(rate * 1.02).quantile(0.99)
    assert breaking_rate(queue, 0.99, 1e-3) == 0
    assert breaking_rate(queue, 0.99, bound, overhead=10e-3) == pytest.approx(
        breaking_rate(queue, 0.99, 10e-3), rel=0.01
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Queue([]), "service"),
        (lambda: Queue([1.0, 0.0]), "service"),
        (lambda: Queue([1.0], servers=0), "servers"),
        (lambda: Queue([1.0]).response(1.0), "saturation"),
        (lambda: Queue([1.0]).response(-1), "rate"),
        (lambda: Queue([1.0]).response(float("nan")), "rate"),
        (lambda: Queue([1.0]).response(0.5).quantile(1.0), "share"),
    ],
)
def test_what_makes_no_sense_is_told(wrong: object, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()  # type: ignore[operator]


@given(st.lists(st.floats(0, 5e-4), min_size=1, max_size=50), st.floats(-1e-4, 1e-3), st.floats(0.1, 0.8))
def test_what_comes_on_top_is_added(samples: list[float], shift: float, load: float):
    queue = Queue([1e-4, 2e-4])
    alone = queue.response(load * queue.saturation)
    more = alone.plus(samples).later(shift)
    assert more.mean == pytest.approx(alone.mean + np.mean(samples) + shift)
    assert more.mass.sum() == pytest.approx(alone.mass.sum(), rel=1e-6)
    for share in (0.01, 0.5, 0.99):
        least, most = min(samples) + shift, max(samples) + shift
        assert alone.quantile(share) + least - 3 * alone.step <= more.quantile(share)
        assert more.quantile(share) <= alone.quantile(share) + most + 3 * alone.step
