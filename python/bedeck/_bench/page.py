"""What came of load, as one file of HTML that needs nothing from elsewhere."""

import json
from collections.abc import Iterator
from html import escape
from typing import Final

from bedeck._bench.loads import Told
from bedeck._bench.svg import Point, lines

__all__ = ["page", "short"]

MEGA: Final = 1e6
LONG: Final = ("histogram", "spread")  # for programs
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:right}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}svg{max-width:100%;height:auto}"
)
QUANTILES: Final = (("p50", 2), ("p90", 10), ("p99", 100), ("p999", 1000), ("p9999", 10_000))


def page(told: Told, title: str) -> str:
    """The page: figures, latencies by percentile and by second, and all that was told."""
    parts = "".join(_parts(told))
    whole = escape(json.dumps(short(told), indent=2))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{parts}<h2>All of it</h2><pre>{whole}</pre></html>\n"
    )


def _parts(told: Told) -> Iterator[str]:
    head = "".join(f"<th>{name}" for name in ("status", "answers", "mean", *(name for name, _ in QUANTILES), "max"))
    rows = "".join(
        f"<tr><td>{status}<td>{of['count']:,}"
        + "".join(f"<td>{of[name]:,.0f}" for name in ("mean", *(name for name, _ in QUANTILES), "max"))
        for status, of in told["latency"].items()
    )
    yield "<p>Microseconds, from the time a request was due to the last byte of its answer.</p>"
    yield f"<table><tr>{head}{rows}</table>"
    if told["errors"]:
        yield f"<p>Without an answer: {escape(json.dumps(told['errors']))}</p>"
    series: dict[str, list[Point]] = {
        status: [(float(one_in), max(of[name], 1e-3)) for name, one_in in QUANTILES if of["count"] >= one_in]
        for status, of in told["latency"].items()
    }
    if series := {status: points for status, points in series.items() if len(points) > 1}:
        yield lines("Latency that one answer in so many is over, by status: microseconds", "one in", series)
    seconds = [of for of in told["series"] if of["ok"]]
    if len(seconds) > 1:
        by_second = {
            name: [(float(of["second"] + 1), max(of[name], 1e-3)) for of in seconds] for name in ("p50", "p99", "max")
        }
        yield lines("Latency by second: microseconds", "second", by_second)
    memory = (told.get("memory") or {}).get("series", [])
    if len(memory) > 1:
        of_workers = [(second + 1, max(of, 1) / MEGA) for second, of in memory]
        yield lines("Memory of the workers, without the catalogue: MB", "second", {"all workers": of_workers})


def short(told: Told) -> Told:
    """What was told, without what only programs read."""
    latency = {
        status: {name: value for name, value in of.items() if name not in LONG}
        for status, of in told["latency"].items()
    }
    return {**told, "latency": latency, "lag": {name: value for name, value in told["lag"].items() if name not in LONG}}
