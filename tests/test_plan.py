"""Plans: what is worked out from a measurement, and from nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedeck._bench.loads import Load, Told
from bedeck._bench.measuring import measured
from bedeck.plan import At, Measured, breaking, expect, plan
from commands import verb
from serving import publish

GIB = 1 << 30
EVEN = (np.arange(2000) + 0.5) / 2000


def of(service: float = 1e-4, besides: float = 5e-5, busier: float = 0.8) -> Measured:
    """A worker that takes less for a request the more there are, with some noise."""
    noise = 2e-5 * -np.log1p(-EVEN)
    top = 1 / (service * busier)
    took = {load: service * (1 + (busier - 1) * load) for load in (0.1, 0.2, 0.4, 0.6, 0.8)}
    waited = {load: took[load] * (1 + load / (1 - load) / 3) for load in took}
    ladder = [At(top * load, took[load], waited[load] + besides) for load in took]
    return Measured(top, list(service + noise), list(service + besides + noise), ladder)


def simulated(rate: float, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latencies of requests that come at random to one server and wait in line, and what each took of it.

    Most take 80 us, some 300; besides each takes 40 us and a random time.
    """
    random = np.random.default_rng(seed)
    services = np.where(random.random(number) < 0.05, 3e-4, 8e-5)
    comes = np.cumsum(random.exponential(1 / rate, number))
    free, done = 0.0, np.empty(number)
    for place in range(number):
        free = max(free, comes[place]) + services[place]
        done[place] = free
    return done - comes + 4e-5 + random.exponential(3e-5, number), services


def measured_of(loads: tuple[float, ...], number: int) -> Measured:
    """What is measured of that server."""
    low, services = simulated(1.0, number, seed=1)
    top = 1 / services.mean()
    ladder = []
    for place, load in enumerate(loads):
        latencies, took = simulated(load * top, number, seed=2 + place)
        ladder.append(At(load * top, took.mean(), float(np.median(latencies))))
    return Measured(top, np.quantile(low, EVEN), np.quantile(low, EVEN), ladder)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.85])
def test_what_is_expected_is_what_a_simulation_gives(load: float):
    measured = measured_of((0.1, 0.2, 0.4, 0.6, 0.8), 100_000)
    expected = expect(measured, load * measured.saturation)
    latencies, _ = simulated(load * measured.saturation, 400_000, seed=9)
    assert expected.p50 == pytest.approx(np.quantile(latencies, 0.5), rel=0.08)
    assert expected.p99 == pytest.approx(np.quantile(latencies, 0.99), rel=0.08)


def test_at_the_saturation_there_is_no_time_left():
    measured = of()
    assert measured.saturation * measured.service(measured.saturation) == pytest.approx(1)
    with pytest.raises(ValueError, match="saturation"):
        expect(measured, measured.saturation)


@given(st.lists(st.floats(0.5, 2.0), min_size=5, max_size=5), st.floats(0.001, 0.999))
@settings(max_examples=20)
def test_below_the_saturation_there_is_time_left_whatever_was_measured(noise: list[float], load: float):
    even = of()
    ladder = [At(at.rate, at.service * factor, at.p50) for at, factor in zip(even.ladder, noise, strict=True)]
    noisy = Measured(even.saturation, even.alone, even.besides, ladder)
    rate = load * noisy.saturation
    assert rate * noisy.service(rate) < 1
    assert expect(noisy, rate).p99 > 0


def test_medians_are_those_that_were_measured():
    measured = of()
    for at in measured.ladder:
        assert expect(measured, at.rate).p50 == pytest.approx(at.p50, rel=0.02)


def test_what_is_expected_grows_with_the_load():
    measured = of()
    tables = [expect(measured, load * measured.saturation) for load in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for name in ("p50", "p99", "p999", "utilisation"):
        values = [getattr(expected, name) for expected in tables]
        assert values == sorted(values)


def test_a_plan_keeps_the_bound_with_one_machine_down():
    measured = of()
    found = plan(measured, 100_000, size=100, bound=2e-3, cores=4, catalogue=9 * GIB)
    left = found.rps / (found.workers_a_machine * (found.machines - 1))
    assert left <= 0.7 * found.breaking
    assert expect(measured, left).p999 <= 2e-3
    assert found.workers == found.workers_a_machine * found.machines
    assert found.memory >= 18 * GIB
    assert found.expected.p999 <= expect(measured, left).p999
    assert json.loads(json.dumps(found.as_dict()))["machines"] == found.machines


@settings(max_examples=4)  # each works out sixty distributions
@given(st.floats(1, 1e6), st.floats(1e-3, 1), st.integers(1, 64))
def test_more_requests_never_need_fewer_machines(rps: float, bound: float, cores: int):
    measured = of()
    some = plan(measured, rps, size=100, bound=bound, cores=cores, catalogue=GIB)
    more = plan(measured, 2 * rps, size=100, bound=bound, cores=cores, catalogue=GIB)
    assert some.machines <= more.machines
    assert some.machines >= 2
    assert 1 <= some.workers_a_machine <= cores


def test_the_bound_breaks_where_the_plan_says():
    measured = of()
    rate = breaking(measured, 0.99, 1e-3)
    assert expect(measured, rate * 0.99).p99 <= 1e-3 < expect(measured, rate * 1.02).p99


def test_what_cannot_be_kept_is_told():
    with pytest.raises(ValueError, match="cannot be kept at any load"):
        plan(of(), 100, size=100, bound=1e-5, cores=2, catalogue=1)


@pytest.mark.parametrize("wrong", [{"rps": 0}, {"bound": -1}, {"cores": 0}, {"headroom": 0}])
def test_what_makes_no_sense_is_told(wrong: dict[str, float]):
    given = {"rps": 100, "size": 1, "bound": 1, "cores": 1, "catalogue": 1, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        plan(of(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alone", "besides", "ladder", "words"),
    [
        ([], [1], [At(1, 0.1, 1)], "at least one"),
        ([1], [], [At(1, 0.1, 1)], "at least one"),
        ([1], [1], [], "at least one"),
        ([1], [1], [At(2, 0.1, 1), At(1, 0.1, 1)], "ascending"),
        ([1], [1], [At(0, 0.1, 1)], "above 0"),
        ([1], [1], [At(5, 0.1, 1)], "below 5"),
        ([1], [1], [At(1, 0, 1)], "seconds above 0"),
    ],
)
def test_measurements_are_checked(alone: list[float], besides: list[float], ladder: list[At], words: str):
    with pytest.raises(ValueError, match=words):
        Measured(5, alone, besides, ladder)


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [
        ({"200": 5, "503": 95}, {}, r"503 \(95 times\)"),
        ({"200": 95}, {"timeout": 5}, r"timeout \(5 times\)"),
        ({"404": 100}, {}, r"404 \(100 times\)"),
        ({}, {}, "longer"),
    ],
)
def test_what_is_not_answered_is_no_measurement(status: dict[str, int], errors: dict[str, int], words: str):
    class Failing(Load):
        def run(self, *_how: object, **_more: object) -> Told:
            return {"seconds": 1.0, "status": status, "errors": errors}

    with pytest.raises(ValueError, match=words):
        measured(Failing("", 0, []), [], 3)


def refused(store: Path, *options: str) -> str:
    """What `bedeck plan` says to what it cannot do."""
    done = verb("plan", store, "--type", "track", "--seconds", "3", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "please report" not in done.stderr
    return done.stderr


def test_the_command_tells_what_it_cannot_plan(tmp_path: Path):
    publish(tmp_path / "store")
    assert "cannot be written" in refused(tmp_path / "store", "--rps", "10", "--p99", "50", "--plot", "/nowhere/a.svg")
    assert "inf" in refused(tmp_path / "store", "--rps", "inf", "--p99", "50")
    long = tmp_path / "long"
    long.write_text(json.dumps(["t1"] * 10_001))
    assert "413" in refused(tmp_path / "store", "--rps", "10", "--p99", "50", "--lists", str(long))
    assert "Ask for a higher bound" in refused(tmp_path / "store", "--rps", "10", "--p99", "0.001", "--size", "5")


def test_the_command_measures_and_plans(tmp_path: Path):
    publish(tmp_path / "store")
    plot = tmp_path / "plan.svg"
    lists = tmp_path / "lists"
    lists.write_text(json.dumps([f"t{n}" for n in range(20)]))
    command = ["plan", tmp_path / "store", "--type", "track", "--rps", "1000"]
    arguments = ["--lists", lists, "--p99", "1000", "--seconds", "3", "--plot", plot]
    found = json.loads(verb(*command, *arguments, "--json").stdout)
    assert found["size"] == 20
    assert found["machines"] >= 2
    assert found["saturation"] >= found["breaking"] > 0
    assert plot.read_text().startswith("<svg")
    assert "Lists of 20:" in plot.read_text()
    assert "machines with" in verb(*command, *arguments).stdout
    wrong = verb(*command)
    assert wrong.returncode == 2
    assert "--p999" in wrong.stderr
