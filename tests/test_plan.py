"""Plans: what is worked out from a measurement, and from nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedeck.plan import Measured, breaking, expect, plan, saturation
from serving import publish

GIB = 1 << 30
EVEN = (np.arange(2000) + 0.5) / 2000


def of(service: float = 1e-4, besides: float = 5e-5, busier: float = 0.8) -> Measured:
    """A worker that takes less for a request the more there are, with some noise."""
    latencies = service + besides + 2e-5 * -np.log1p(-EVEN)
    top = 1 / service
    services = [(top * load, service * (1 + (busier - 1) * load)) for load in (0.05, 0.2, 0.4, 0.6, 0.8)]
    return Measured(list(latencies), services)


def test_the_saturation_is_where_there_is_no_time_left():
    measured = of()
    rate = saturation(measured)
    assert rate * measured.service(rate) == pytest.approx(1, rel=1e-6)


def test_what_is_expected_grows_with_the_load():
    measured = of()
    tables = [expect(measured, load * saturation(measured)) for load in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for name in ("p50", "p99", "p999", "utilisation"):
        values = [getattr(expected, name) for expected in tables]
        assert values == sorted(values)
    assert tables[0].p50 == pytest.approx(1.6e-4, rel=0.15)


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


@settings(max_examples=8)  # each works out sixty distributions
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


def test_measurements_are_checked():
    for latencies, services in (([], [(1, 1)]), ([1], []), ([1], [(2, 1), (1, 1)]), ([1], [(0, 1)])):
        with pytest.raises(ValueError, match="services"):
            Measured(latencies, services)


def test_the_command_measures_and_plans(tmp_path: Path):
    publish(tmp_path / "store")
    plot = tmp_path / "plan.svg"
    command = [sys.executable, "-m", "bedeck", "plan", str(tmp_path / "store"), "--type", "track", "--rps", "1000"]
    arguments = ["--size", "20", "--p99", "1000", "--seconds", "3", "--plot", str(plot), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    found = json.loads(done.stdout)
    assert found["machines"] >= 2
    assert found["saturation"] >= found["breaking"] > 0
    assert plot.read_text().startswith("<svg")
    text = subprocess.run([*command, *arguments[:-1]], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    assert "machines with" in text
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert wrong.returncode == 2
    assert "--p999" in wrong.stderr
