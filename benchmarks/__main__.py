"""`python -m benchmarks`: measure, and write the report."""

from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from time import perf_counter

from bedeck import Build
from benchmarks import alone, contest, lookup, machine
from benchmarks.bars import RECORDS, TRACKS, bars
from benchmarks.clock import overhead
from benchmarks.data import Data
from benchmarks.jobs import JOBS
from benchmarks.peers import PEERS
from benchmarks.processes import apart
from benchmarks.report import render
from benchmarks.results import SHORTER, Results

__all__: list[str] = []

_HERE = Path(__file__).parent
_LEAST_LISTS = 50


def _options() -> Namespace:
    parser = ArgumentParser("python -m benchmarks", description=__doc__, formatter_class=ArgumentDefaultsHelpFormatter)
    parser.add_argument("--tracks", type=int, default=TRACKS, help="tracks of the synthetic catalogue")
    parser.add_argument("--records", type=int, default=RECORDS, help="records of the catalogue for the look-up alone")
    parser.add_argument("--lists", type=int, default=10_000, help="lists timed in each contest")
    parser.add_argument("--data", type=Path, default=_HERE / ".data", help="folder that keeps the synthetic data")
    parser.add_argument("--report", type=Path, default=_HERE / "REPORT.md", help="file to write")
    options = parser.parse_args()
    if options.lists < _LEAST_LISTS:
        parser.error(f"--lists {options.lists}: give at least {_LEAST_LISTS}")
    return options


def _run(options: Namespace) -> Results:
    started, load, began = datetime.now(UTC), machine.load(), perf_counter()
    data = Data(options.data.resolve(), options.tracks)

    def say(doing: str) -> None:
        print(f"{perf_counter() - began:6.1f} s  {doing}", flush=True)

    say(f"{data.tracks:,} synthetic tracks")
    apart(data.make)
    say("bedeck builds its store")
    build = apart(data.build)
    say("bedeck alone")
    observed = apart(alone.observe, data, options.lists // SHORTER)
    prepared, contests = {}, []
    for peer, job in product(PEERS, JOBS):
        say(f"{peer.name}, {job.title}")
        prepared[peer, job] = apart(contest.prepare, peer, job, data)
        contests.append(apart(contest.compete, peer, job, data, options.lists))
    say(f"look-up alone, {options.records:,} records")
    lookup_build: Build = apart(lookup.build, data.cache, options.records)
    looked_up = apart(lookup.measure, data.cache, options.records, options.lists)
    say("done")
    return Results(
        data=data,
        lists=options.lists,
        machine=machine.stamp(),
        started=started,
        loads=(load, machine.load()),
        clock=apart(overhead),
        build=build,
        store_bytes=data.store_bytes(),
        source_bytes=data.source_bytes(),
        alone=observed,
        prepared=prepared,
        contests=tuple(contests),
        lookup_build=lookup_build,
        lookup=looked_up,
    )


def main() -> None:
    """Run everything, print the bars, write the report."""
    options = _options()
    results = _run(options)
    options.report.write_text(render(results), "utf-8")
    for bar in bars(results):
        print(f"{bar.what}: {bar.measured:.3g} (bar {bar.bar:g}), {bar.verdict.replace('*', '')}")
    print(f"written: {options.report}")


if __name__ == "__main__":
    main()
