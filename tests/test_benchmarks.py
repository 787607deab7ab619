from dataclasses import fields, replace
from pathlib import Path
from shutil import which

import pytest

from benchmarks.bars import bars
from benchmarks.built import build
from benchmarks.clock import Times, affordable, take_turns
from benchmarks.contest import Effort, Match
from benchmarks.data import Data
from benchmarks.growth import growths
from benchmarks.hollow import NAME
from benchmarks.jobs import JOBS, JSON
from benchmarks.lists import CASES, MAIN, Case, Lists
from benchmarks.losses import losses
from benchmarks.peers import RIVALS, Rival
from benchmarks.report import render, write
from benchmarks.results import Results, Run
from benchmarks.run import Plan, run, with_hollow
from benchmarks.subject import Bedeck

TRACKS = 3000
EFFORT = Effort(lists=60, others=20, seconds=0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    data = Data(tmp_path_factory.mktemp("benchmarks"), TRACKS)
    data.make()
    build(data, anew=False)
    return data


@pytest.fixture(scope="module")
def measured(data: Data):
    rivals = [rival for rival in RIVALS if rival.key in ("dicts", "sqlite")]
    return run(data, Plan(rivals, JOBS, EFFORT, records=2000, anew=False))


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.key)
def test_a_peer_answers_as_bedeck_does(data: Data, rival: Rival):
    if rival.missing:
        pytest.skip(f"not installed: {', '.join(rival.missing)}")
    peer, bedeck, lists = rival.peer(), Bedeck(data, JSON), Lists(data)
    for job in peer.jobs:
        peer.prepare(data, job)
        with peer.running(data, job):
            theirs, ours = peer(data, job).answer(job), bedeck.answer(job)
            for case in CASES:
                for text in lists.of(case, 5, seed=0):
                    assert job.canonical(theirs(text.split(" "))) == job.canonical(ours(text.split(" ")))


def test_every_key_of_a_rival_is_its_own():
    assert len({rival.key for rival in RIVALS}) == len(RIVALS)


def test_lists_are_mostly_known_with_some_unknown(data: Data):
    tracks = Bedeck(data, JSON).tracks
    ids = " ".join(Lists(data).of(MAIN, 100, seed=0)).split(" ")
    assert 0.96 < sum(id_ in tracks for id_ in ids) / len(ids) < 0.99


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fewer_lists_are_the_first_of_many(data: Data, case: Case):
    many = Lists(data).of(case, 12, seed=9)
    assert Lists(data).of(case, 5, seed=9) == many[:5]
    assert Lists(data).of(case, 12, seed=9) == many
    assert len(set(many)) == 12
    assert all(case.size in (None, len(text.split(" "))) for text in many)


def test_contestants_take_turns_with_ids_of_their_own():
    seen: list[tuple[str, list[str]]] = []
    times = take_turns({name: (lambda ids, name=name: seen.append((name, ids)), ["a b", "c"]) for name in ("x", "y")})
    assert seen == [("x", ["a", "b"]), ("y", ["a", "b"]), ("x", ["c"]), ("y", ["c"])]
    assert {name: times[name].calls for name in times} == {"x": 2, "y": 2}


def test_times_are_microseconds():
    times = Times.of([value * 1000 for value in range(1, 1001)])
    assert (times.p50, times.p99, times.longest) == (501, 991, 1000)


def test_what_is_affordable_is_at_least_a_few_and_at_most_all():
    lists = ["a"] * 100
    assert affordable(len, lists, limit=1000) == 100
    assert affordable(len, lists, limit=0) == 10


def test_a_build_is_kept_until_it_is_wanted_anew(data: Data):
    kept = build(data, anew=False)
    assert kept.kept
    assert kept.records["track"] == TRACKS
    blobs = {path.name for path in data.store.rglob("*.blob")}
    assert not build(data, anew=True).kept
    assert {path.name for path in data.store.rglob("*.blob")} == blobs
    assert build(data, anew=False).kept


def test_a_run_measures_every_case_of_every_job(measured: Run):
    assert {(contest.peer, contest.job.name) for contest in measured.contests} == {
        ("dict of dicts", "json"),
        ("dict of dicts", "dicts"),
        ("SQLite", "json"),
        ("SQLite", "dicts"),
    }
    for contest in measured.contests:
        assert set(contest.matches) == set(CASES)
        assert contest.checked >= 10
        assert contest.main.peer.calls == contest.main.bedeck.calls >= 10
    assert set(measured.pairs) == {"bedeck", "dict of dicts", "SQLite"}
    assert all(pair.alone > 0 and pair.together > 0 for pair in measured.pairs.values())
    assert measured.threads.one > 0
    assert measured.built.peak > 0
    assert (measured.probe is not None) == (which("cargo") is not None)


def test_a_run_is_kept(data: Data, measured: Run):
    assert Run.kept(data) is None
    measured.keep(data)
    assert Run.kept(data) == measured


def test_a_run_that_was_kept_before_hollow_was_measured_has_none(
    data: Data, measured: Run, monkeypatch: pytest.MonkeyPatch
):
    before = [field.name for field in fields(Run) if field.name != "hollow"]
    monkeypatch.setattr(Run, "__getstate__", lambda run: [getattr(run, name) for name in before])
    measured.keep(data)
    assert Run.kept(data) == measured


def test_hollow_answers_as_bedeck_does_and_is_added_to_a_run(data: Data, measured: Run):
    added = with_hollow(data, measured)
    if not added.hollow:
        pytest.skip(f"{NAME}: {added.skipped[NAME]}")
    assert added.hollow.read_seconds + added.hollow.index_seconds > 0
    assert {contest.job.name for contest in added.hollow.contests} == {"json", "dicts"}
    for contest in added.hollow.contests:
        assert contest.checked >= 10
        assert {case: match.peer.calls for case, match in contest.matches.items()} == {
            case: EFFORT.most(case) for case in CASES
        }
        assert contest.memory
        assert contest.memory.private > 0
    assert f"## {NAME}, {TRACKS:,} tracks" in render(Results([added]))
    assert list(added.everywhere) == [*measured.contests, *added.hollow.contests]


def test_without_java_hollow_is_left_out_with_its_reason(data: Data, measured: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.jvm.which", lambda _: None)
    without = with_hollow(data, measured)
    assert without.skipped == measured.skipped | {NAME: "not installed: mvn, java"}
    assert f"{NAME}, {TRACKS:,} tracks: not installed: mvn, java." in render(Results([without]))


def test_a_report_has_every_part_and_every_plot_that_it_shows(measured: Run, tmp_path: Path):
    grown = replace(measured, tracks=2 * TRACKS)
    write(Results([measured, grown, replace(measured, tracks=4 * TRACKS, contests=[])]), tmp_path / "REPORT.md")
    text = (tmp_path / "REPORT.md").read_text("utf-8")
    for title in (
        "Bars",
        "Where bedeck loses",
        "The limit of this machine",
        "With the size of the catalogue",
        "Method",
    ):
        assert f"## {title}" in text
    plots = {path.name for path in (tmp_path / "plots").glob("*.svg")}
    assert plots == {"json.svg", "dicts.svg", "lengths.svg", "memory.svg", "growth.svg"}
    assert all(f"plots/{name}" in text for name in plots)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    write(Results([measured, grown, replace(measured, tracks=4 * TRACKS, contests=[])]), tmp_path / "REPORT.md")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_bars_and_losses_come_from_the_figures(measured: Run):
    slow, fast = (Times(1000, p50, p50, p50, p50, (p50,)) for p50 in (300.0, 10.0))
    contests = [replace(one, matches=dict.fromkeys(CASES, Match(slow, fast))) for one in measured.contests]
    found = {bar.what: bar for bar in bars(Results([replace(measured, contests=contests)]))}
    bar = found["JSON: times as fast as dict of dicts"]
    assert (bar.measured, bar.met, bar.here) == (30, True, False)
    assert not any("p50" in what for what in losses(replace(measured, contests=contests)))
    contests = [replace(one, matches=dict.fromkeys(CASES, Match(fast, slow))) for one in measured.contests]
    assert "JSON body, lists of 100 uniform, p50, us" in losses(replace(measured, contests=contests))


def test_growth_is_a_line_through_two_sizes(measured: Run):
    runs = []
    for tracks, p50 in ((1000, 100.0), (10_000, 150.0)):
        times = Times(1000, p50, p50, p50, p50, (p50,))
        contests = [replace(one, matches=dict.fromkeys(CASES, Match(times, times))) for one in measured.contests]
        runs.append(replace(measured, tracks=tracks, contests=contests))
    runs.append(replace(measured, tracks=100_000, contests=[]))
    assert [growth.p50 for growth in growths(Results(runs))] == pytest.approx([200.0] * 4)
