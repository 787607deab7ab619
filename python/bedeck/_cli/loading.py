"""The verbs that put load on a service: bench serve, plan."""

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import bedeck
from bedeck._bench.loads import Arrivals, Load
from bedeck._bench.page import page, short
from bedeck._bench.traffic import post, sampled, written
from bedeck._cli.exits import ending_in_order
from bedeck._cli.facts import Facts, as_json, tell
from bedeck._cli.numbers import Number
from bedeck._cli.sizes import Size
from bedeck._cli.terminal import heading, human, table
from bedeck.bench import SCENARIOS, Bench, Scenario
from bedeck.store import Store

__all__ = ["bench", "plan"]

MILLI = 1000.0
LONGEST = 86_400
LONGEST_MS = LONGEST * 1000
MOST = 1_000_000  # requests a second, which no core sends
SAMPLES = 200  # of memory
ADDRESS = re.compile(r"http://(?:(?P<host>[^\s/?#@:\[\]]+)|\[(?P<six>[\da-fA-F:.]+)\])(?::(?P<port>\d{1,5}))?/?")
A_FILE = click.Path(dir_okay=False, path_type=Path)


def writable(context: click.Context, param: click.Parameter, file: Path | None) -> Path | None:
    """A file that can be written, as far as that can be told before there is something to write."""
    if file is not None and not os.access(file if file.exists() else file.parent, os.W_OK):
        raise click.BadParameter(f"{file} cannot be written: name one in a folder where it can.", context, param)
    return file


a_type = click.option("--type", "type_", metavar="TYPE", help="The type to ask for; the first one by default.")
some_fields = click.option("--fields", metavar="A,B", help="Fields to ask for; all of the type by default.")
of_size = click.option(
    "--size", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="Ids of a list."
)
some_lists = click.option(
    "--lists",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a JSON list of ids in each line, to ask for.",
)
a_bound = click.option(
    "--bound",
    type=Number(1, LONGEST_MS),
    default=50,
    show_default=True,
    metavar="MS",
    help="What an answer may take.",
)


@click.command()
@click.argument("what", metavar="serve", type=click.Choice(["serve"]))
@click.argument("store")
@a_type
@some_fields
@of_size
@some_lists
@a_bound
@click.option("--url", help="A service of STORE that runs; one is started on this host by default.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Of the one that is started.")
@click.option(
    "--scenario",
    type=click.Choice(SCENARIOS),
    default="steady",
    show_default=True,
    help="steady: --rate. saturation: search the highest rate. overload: --factor times that. refresh: --rate, while"
    " STORE announces its two newest versions in turn.",
)
@click.option("--rate", type=Number(0, MOST, min_open=True), default=1000, show_default=True, help="Requests a second.")
@click.option("--seconds", type=Number(1, LONGEST), default=10, show_default=True)
@click.option("--connections", type=click.IntRange(1, 60_000), default=64, show_default=True)
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", show_default=True)
@click.option("--factor", type=Number(1, 100), default=1.5, show_default=True, help="For overload.")
@click.option("--every", type=Number(0.1, LONGEST), default=6, show_default=True, metavar="S", help="For refresh.")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 64) - 1),
    default=1,
    show_default=True,
    help="Another seed, another schedule.",
)
@click.option("--html", type=A_FILE, callback=writable, metavar="FILE", help="Write a report with plots.")
@as_json
@ending_in_order()
def bench(  # noqa: PLR0913 - each is an argument or an option
    what: str,  # noqa: ARG001 - there is one thing
    store: str,
    *,
    type_: str | None,
    fields: str | None,
    size: int,
    lists: Path | None,
    bound: float,
    url: str | None,
    workers: int,
    scenario: Scenario,
    rate: float,
    seconds: float,
    connections: int,
    arrivals: Arrivals,
    factor: float,
    every: float,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Put load on a service, and tell how it does.

    How many requests it answers, and how soon. Requests are due at set times, however long those before them take, and
    latencies count from then. Load takes a core of this host.
    """
    requests, size = asked(store, type_, fields, size, lists, seed)
    with reached(store, url, workers, ["--bound", str(bound)]) as (host, port, pids), explained():
        load = Load(host, port, requests, connections=connections, seed=seed)
        runner = Bench(load, bound / MILLI, arrivals)
        with memory_of(pids, max(1.0, seconds / SAMPLES)) as samples:
            match scenario:
                case "saturation":
                    told = runner.saturation(seconds, note)
                case "overload":
                    told = runner.overload(factor, seconds, note)
                case "refresh":
                    told = runner.refresh(rate, seconds, Store.at(store), every, note)
                case _:
                    told = runner.steady(rate, seconds)
        told["memory"] = {"before": samples[0][1], "after": samples[-1][1], "series": samples} if pids else None
    try:
        if html is not None:
            html.write_text(page(told, f"bedeck bench serve: {scenario}, lists of {size}"), "utf-8")
    finally:
        tell(short(told), load_text, as_json=as_json)


@click.command()
@click.argument("store")
@a_type
@some_fields
@of_size
@some_lists
@click.option("--rps", type=Number(1e-3, 1e9), required=True, metavar="R", help="Requests a second.")
@click.option(
    "--p999", type=Number(0, LONGEST_MS, min_open=True), metavar="MS", help="What 99.9 % of the answers may take."
)
@click.option("--p99", type=Number(0, LONGEST_MS, min_open=True), metavar="MS", help="Or 99 % of them.")
@click.option("--cores", type=click.IntRange(1), default=2, show_default=True, help="Of a machine: one worker each.")
@click.option("--seconds", type=Number(3, LONGEST), default=30, show_default=True, help="To measure for.")
@click.option("--worker-memory", type=Size(1), default=128 << 20, metavar="SIZE", help="Of a worker. [128MiB]")
@click.option("--plot", type=A_FILE, callback=writable, metavar="FILE.svg", help="Write latency against load.")
@as_json
@ending_in_order()
def plan(  # noqa: PLR0913 - each is an option
    store: str,
    *,
    type_: str | None,
    fields: str | None,
    size: int,
    lists: Path | None,
    rps: float,
    p999: float | None,
    p99: float | None,
    cores: int,
    seconds: float,
    worker_memory: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Tell how many workers and machines a request rate needs.

    Starts a service of STORE with one worker, measures what a request takes of it, and works out what waiting in line
    adds. docs/planning.md tells how.
    """
    from bedeck._bench.measuring import measured  # noqa: PLC0415 - which needs numpy
    from bedeck._bench.svg import lines  # noqa: PLC0415 - only here
    from bedeck.plan import plan as planned  # noqa: PLC0415 - which needs numpy

    share, bound = (0.999, p999) if p99 is None else (0.99, p99)
    if bound is None or (p999 is None) == (p99 is None):
        raise click.UsageError("name one of --p999 and --p99.", click.get_current_context())
    requests, size = asked(store, type_, fields, size, lists, 1)
    with reached(store, None, 1, ["--bound", "60000"]) as (host, port, workers), explained():
        found = measured(Load(host, port, requests, timeout=60), workers, seconds)
    catalogue = bedeck.open(store).info()["bytes"]
    needs = {"cores": cores, "catalogue": catalogue, "worker": worker_memory}
    with explained():
        answer = planned(found, rps, size=size, bound=bound / MILLI, share=share, **needs)
    title = f"Lists of {size}: milliseconds, by requests a second of a worker"
    series = {name: [(of.rate, getattr(of, name) * MILLI) for of in answer.table] for name in ("p999", "p99", "p50")}
    series["the bound"] = [(of.rate, bound) for of in (answer.table[0], answer.table[-1])]
    try:
        if plot is not None:
            plot.write_text(lines(title, "a second", series), "utf-8")
    finally:
        tell(answer.as_dict(), plan_text, as_json=as_json)


def asked(  # noqa: PLR0913, PLR0917 - what makes requests
    store: str, type_: str | None, fields: str | None, size: int, file: Path | None, seed: int
) -> tuple[list[bytes], int]:
    """Requests for a type of a store, and how many ids they have, on average."""
    catalogue = bedeck.open(store)
    records = catalogue[type_ or catalogue.types[0]]
    with explained():
        lists = sampled(records, size, seed) if file is None else written(file)
    chosen = fields.split(",") if fields else None
    if chosen:
        records.select(*chosen)
    length = round(sum(map(len, lists)) / len(lists))
    return post(f"/v1/{records.name}/decorate", lists, chosen, "localhost"), length


@contextmanager
def explained() -> Iterator[None]:
    """Tell what there is no answer to as what was asked for wrongly."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(f"{error}.", click.get_current_context()) from error


@contextmanager
def reached(store: str, url: str | None, workers: int, options: list[str]) -> Iterator[tuple[str, int, list[int]]]:
    """Host and port of a service, and its workers if it was started here."""
    from bedeck._bench.service import Service  # noqa: PLC0415 - which takes long to import

    if url is not None:
        yield *address(url), []
        return
    with Service(store, ["--workers", str(workers), *options]) as service:
        yield *service.address, service.workers()


def address(url: str) -> tuple[str, int]:
    """Host and port of a service."""
    found = ADDRESS.fullmatch(url)
    port = int(found["port"] or 80) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise click.UsageError(
            f"--url {url}: http://HOST:PORT is expected, with a port from 1 to 65535 and no path.",
            click.get_current_context(),
        )
    return found["host"] or found["six"], port


@contextmanager
def memory_of(pids: list[int], every: float) -> Iterator[list[tuple[float, int]]]:
    """Seconds, and the bytes that processes had to themselves then: all so many seconds while the context lasts."""
    from bedeck._bench.service import private  # noqa: PLC0415 - which takes long to import

    samples: list[tuple[float, int]] = []
    start, ended = time.monotonic(), threading.Event()

    def sample() -> None:
        samples.append((round(time.monotonic() - start, 1), sum(private(pid) for pid in pids)))

    def go_on() -> None:
        while not ended.wait(every):
            sample()

    sample()
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
        sample()


def note(text: str) -> None:
    """Say what is going on."""
    click.echo(f"bedeck: {text}", err=True)


def load_text(told: Facts) -> Iterable[str]:
    """What came of load, for people."""
    rate = f"{told['rate']:,.0f} requests a second" if told["rate"] else "as many requests as were answered"
    yield heading(f"{told['scenario']}: {rate} for {told['seconds']:g} s over {told['connections']} connections")
    if "saturation" in told:
        yield f"  saturation: {told['saturation']:,.0f} a second within {told['bound'] * MILLI:g} ms"
    yield f"  {told['goodput']:,.0f} a second were answered within {told['bound'] * MILLI:g} ms"
    if "recovered" in told:
        after = "recovered" if told["recovered"] else "did NOT recover"
        share = told["goodput_of_saturation"]
        yield f"  {after} after it" if share is None else f"  {share:.0%} of the saturation; {after} after it"
    if "announced" in told:
        yield f"  {told['announced']} announcements, {len(told['versions'])} versions in answers"
    if told["memory"]:
        before, after = (human(told["memory"][when]) for when in ("before", "after"))
        yield f"  memory of the workers, without the catalogue: {before} before, {after} after"
    names = ("p50", "p90", "p99", "p999", "max")
    rows: list[tuple[str, ...]] = [("status", "answers", *(f"{name}, ms" for name in names))]
    rows += [
        (status, f"{of['count']:,}", *(f"{of[name] / MILLI:.3g}" for name in names))
        for status, of in told["latency"].items()
    ]
    yield from table(rows, numbers=range(1, 7))
    for why, number in told["errors"].items():
        yield f"  {number:,} without an answer: {why}"
    if told["backlog"]:
        yield (
            f"note: up to {told['backlog']:,} requests waited on this side until one of its {told['connections']:,}"
            " connections was free: the service was not asked for all that was due. --connections has more"
        )
    elif told["lag"]["p99"] > MILLI:
        late = told["lag"]["p99"] / MILLI
        yield f"note: 1 % of the requests were sent over {late:.1f} ms late: this side was too slow"


def plan_text(told: Facts) -> Iterable[str]:
    """A plan, for people."""
    expected = told["expected"]
    yield heading(
        f"{told['rps']:,.0f} requests a second for lists of {told['size']}: {told['machines']} machines with"
        f" {told['workers_a_machine']} workers each"
    )
    yield f"  one of them may be down; {told['headroom']:.0%} of what keeps the bound is left over then"
    yield f"  memory of a machine: {human(told['memory'])}, two versions of the catalogue and the workers"
    yield (
        f"  a worker gets {told['rate']:,.0f} a second; {told['breaking']:,.0f} keep {told['share']:.4g} within"
        f" {told['bound'] * MILLI:g} ms, {told['saturation']:,.0f} are all it can do"
    )
    yield f"  expected: p50 {_ms(expected['p50'])}, p99 {_ms(expected['p99'])}, p99.9 {_ms(expected['p999'])} ms"
    rows: list[tuple[str, ...]] = [("load", "a second", "p50, ms", "p99, ms", "p99.9, ms")]
    rows += [
        (f"{of['load']:.0%}", f"{of['rate']:,.0f}", _ms(of["p50"]), _ms(of["p99"]), _ms(of["p999"]))
        for of in told["table"]
    ]
    yield from table(rows, numbers=range(5))


def _ms(seconds: Any) -> str:  # noqa: ANN401 - of facts
    return f"{seconds * MILLI:.3g}"
