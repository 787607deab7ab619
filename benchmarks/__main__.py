"""`python -m benchmarks`: measure, and write the report."""

import shutil
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.bars import RECORDS, TRACKS, bars
from benchmarks.contest import Effort
from benchmarks.data import Data
from benchmarks.jobs import JOBS
from benchmarks.peers import RIVALS
from benchmarks.refresh import refresh
from benchmarks.report import write
from benchmarks.report.refresh import write_refresh
from benchmarks.report.serving import write_serving
from benchmarks.results import Results, Run
from benchmarks.run import Plan, run, with_hollow
from benchmarks.serving import serving

__all__: list[str] = []

_HERE = Path(__file__).parent
_LEAST_LISTS = 50
_HOLLOW = "hollow"  # among the peers, but in a JVM


def _options() -> Namespace:
    parser = ArgumentParser("python -m benchmarks", description=__doc__, formatter_class=ArgumentDefaultsHelpFormatter)
    add, keys, names = parser.add_argument, [*(rival.key for rival in RIVALS), _HOLLOW], [job.name for job in JOBS]
    add("--tracks", type=_numbers, default=[TRACKS], help="tracks of the catalogue; several runs: 1000000,5000000")
    add("--peers", type=_among(keys), default=keys, help="the peers to compare with, or none", metavar="KEY,...")
    add("--jobs", type=_among(names), default=names, help="the forms of answer to compare", metavar="NAME,...")
    add("--lists", type=int, default=10_000, help="lists timed in the main case of each contest, at the most")
    add("--seconds", type=float, default=6, help="seconds to time each contest, at the most")
    add("--records", type=int, default=RECORDS, help="records for the look-up alone, in the first run; 0: leave it out")
    add("--rebuild", action="store_true", help="build bedeck's store anew, even if this version has built it before")
    add("--discard", action="store_true", help="after each run remove what peers serve from: 3 GB a million tracks")
    add("--render", action="store_true", help="measure nothing: report what the last runs of these sizes have kept")
    add("--only-hollow", action="store_true", help="measure Netflix Hollow alone, and add it to the last runs kept")
    add("--refresh", type=int, metavar="TRACKS", help="measure changes of a catalogue of so many tracks, and no more")
    add("--serving", type=int, metavar="TRACKS", help="measure services over HTTP, and no more")
    add("--data", type=Path, default=_HERE / ".data", help="folder that keeps the data")
    add("--report", type=Path, default=_HERE / "REPORT.md", help="file to write, with a folder of plots beside it")
    options = parser.parse_args()
    if options.lists < _LEAST_LISTS:
        parser.error(f"--lists {options.lists}: give at least {_LEAST_LISTS}")
    return options


def _numbers(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})


def _among(known: Sequence[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        names = [] if text == "none" else text.split(",")
        if strange := sorted(set(names) - set(known)):
            raise ValueError(strange)
        return [name for name in known if name in names]

    return chosen


def _runs(options: Namespace) -> list[Run]:
    runs = []
    for place, tracks in enumerate(options.tracks):
        data = Data(options.data.resolve(), tracks)
        if options.render:
            runs.append(_kept(data))
            continue
        done = with_hollow(data, _kept(data)) if options.only_hollow else run(data, _plan(options, place))
        done.keep(data)
        if options.discard:
            shutil.rmtree(data.peers, ignore_errors=True)
        runs.append(done)
    return runs


def _kept(data: Data) -> Run:
    kept = Run.kept(data)
    if not kept:
        raise SystemExit(f"benchmarks: no run of {data.tracks:,} tracks is kept in {data.cache}")
    return kept


def _plan(options: Namespace, place: int) -> Plan:
    return Plan(
        rivals=[rival for rival in RIVALS if rival.key in options.peers],
        jobs=[job for job in JOBS if job.name in options.jobs],
        effort=Effort(options.lists, max(_LEAST_LISTS, options.lists // 5), options.seconds),
        records=0 if place else options.records,
        anew=options.rebuild,
        hollow=_HOLLOW in options.peers,
    )


def _refresh(data: Data, report: Path) -> None:
    found = refresh(data)
    found.keep(data)
    report.parent.mkdir(parents=True, exist_ok=True)
    write_refresh(found, report)
    print(f"written: {report}")


def _serving(data: Data, report: Path) -> None:
    found = serving(data, print)
    found.keep(data)
    report.parent.mkdir(parents=True, exist_ok=True)
    write_serving(found, report)
    print(f"written: {report}")


def main() -> None:
    """Run everything, print the bars, write the report."""
    options = _options()
    if options.refresh:
        _refresh(Data(options.data.resolve(), options.refresh), options.report.with_name("REFRESH.md"))
        return
    if options.serving:
        _serving(Data(options.data.resolve(), options.serving), options.report.with_name("SERVING.md"))
        return
    results = Results(_runs(options))
    for bar in bars(results):
        size = f"at {bar.tracks:,}"
        print(f"{bar.what}: {bar.measured:.3g} (bar {bar.bar:g}), {bar.verdict.replace('*', '')}, {size}")
    write(results, options.report)
    print(f"written: {options.report}")


if __name__ == "__main__":
    main()
