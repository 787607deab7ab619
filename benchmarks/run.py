"""One run: everything that is measured at one size, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

from benchmarks import alone, contest, hollow, machine
from benchmarks.built import build
from benchmarks.clock import overhead
from benchmarks.contest import Contest, Effort
from benchmarks.data import Data
from benchmarks.jobs import JSON, Job
from benchmarks.jvm import Unavailable
from benchmarks.lists import CASES, MAIN, Lists
from benchmarks.lookup import look_up
from benchmarks.memory import anonymous, room
from benchmarks.pair import Pair, pair
from benchmarks.peers import Peer, Rival
from benchmarks.probe import probe
from benchmarks.processes import apart
from benchmarks.results import Run
from benchmarks.subject import Bedeck
from benchmarks.threads import thread

__all__ = ["Plan", "run", "with_hollow"]

_SHARE = 0.8  # of the memory that a peer may take


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: which peers, in which jobs, how long; how many records for the look-up alone, 0 for none.

    `anew`: bedeck's store is built even if it is there. `hollow`: Netflix Hollow is measured too, where it can be.
    """

    rivals: Sequence[Rival]
    jobs: Sequence[Job]
    effort: Effort
    records: int
    anew: bool
    hollow: bool = False


def run(data: Data, plan: Plan) -> Run:
    """Do all of it."""
    started, load, began = datetime.now(UTC), machine.load(), perf_counter()

    def say(doing: str) -> None:
        print(f"{perf_counter() - began:7.1f} s  {doing}", flush=True)

    say(f"{data.tracks:,} synthetic tracks")
    apart(data.make)
    say("bedeck builds its store")
    built = build(data, anew=plan.anew)
    say(f"built in {built.seconds:.1f} s, {built.peak / 2**20:,.0f} MiB at the peak{', kept' if built.kept else ''}")
    apart(_lists, data, plan.effort)
    say("bedeck alone")
    observed = apart(alone.observe, data, plan.effort.lists, plan.effort.others)
    threads = apart(thread, data, plan.effort.rate_seconds)
    pairs = {Bedeck.name: pair(Bedeck, data, plan.effort.rate_seconds)}
    say("the limit of this machine")
    limit = probe(max(data.store.rglob("track-*"), key=lambda blob: blob.stat().st_size))
    contests: list[Contest] = []
    skipped, abouts = {}, {Bedeck.name: Bedeck.about}
    for rival in plan.rivals:
        if rival.missing:
            skipped[rival.key] = f"not installed: {', '.join(rival.missing)}"
            say(f"{rival.key} is left out, {skipped[rival.key]}")
            continue
        peer = rival.peer()
        if reason := _too_many(peer, data.tracks):
            skipped[peer.name] = reason
            say(f"{peer.name} is left out: {reason}")
            continue
        abouts[peer.name] = peer.about
        jobs = [job for job in plan.jobs if job in peer.jobs]
        try:
            for group in [[job] for job in jobs] if peer.fixed else filter(None, [jobs]):
                say(f"{peer.name}, {', '.join(job.title for job in group)}")
                contests += _compete(peer, group, data, plan.effort)
            if JSON in jobs and not _too_many(peer, data.tracks, processes=2):
                pairs[peer.name] = _pair(peer, data, plan.effort)
        except Exception as error:  # noqa: BLE001 - one that breaks must not take the others' hours with it
            skipped[peer.name] = f"broke: {error}"
            say(f"{peer.name} broke: {error!r}")
    looked_up = None
    if plan.records:
        say(f"look-up alone, {plan.records:,} records")
        looked_up = look_up(data.cache, plan.records, plan.effort.others)
    done = Run(
        tracks=data.tracks,
        effort=plan.effort,
        machine=machine.stamp(),
        started=started,
        minutes=(perf_counter() - began) / 60,
        loads=(load, machine.load()),
        clock=apart(overhead),
        built=built,
        store_bytes=data.store_bytes(),
        source_bytes=data.source_bytes(),
        alone=observed,
        threads=threads,
        probe=limit,
        contests=contests,
        pairs=pairs,
        skipped=skipped,
        abouts=abouts,
        lookup=looked_up,
    )
    if plan.hollow:
        say(hollow.NAME)
        done = with_hollow(data, done)
    say("done")
    return done


def with_hollow(data: Data, kept: Run) -> Run:
    """The same run with Netflix Hollow measured, or with the reason why it was not."""
    skipped = {name: reason for name, reason in kept.skipped.items() if name != hollow.NAME}
    try:
        return replace(kept, hollow=hollow.measure(data, kept.effort), skipped=skipped)
    except Unavailable as reason:
        print(f"{hollow.NAME} is left out, {reason}", flush=True)
        return replace(kept, hollow=None, skipped=skipped | {hollow.NAME: str(reason)})


def _lists(data: Data, effort: Effort) -> None:
    lists = Lists(data)
    for case in CASES:
        for seed in (2, 3):
            lists.of(case, effort.lists if case == MAIN else effort.others, seed)


def _too_many(peer: type[Peer], tracks: int, processes: int = 1) -> str | None:
    if peer.most_tracks and tracks > peer.most_tracks:
        return f"its files hold {peer.most_tracks:,} tracks at the most"
    needed = processes * tracks * peer.bytes_a_track
    if needed > room() * _SHARE:
        return f"would take about {needed / 1e9:,.0f} GB of memory"
    return None


def _compete(peer: type[Peer], jobs: Sequence[Job], data: Data, effort: Effort) -> list[Contest]:
    prepared = apart(contest.prepare, peer, jobs[0], data)
    with peer.running(data, jobs[0]) as server:
        contests = apart(contest.compete, peer, jobs, prepared, data, effort)
        return [replace(one, server=anonymous(server) if server else 0) for one in contests]


def _pair(peer: type[Peer], data: Data, effort: Effort) -> Pair:
    with peer.running(data, JSON) as server:
        found = pair(peer, data, effort.rate_seconds)
        return found.beside(anonymous(server)) if server else found
