"""The report of the runs, as Markdown with plots."""

from pathlib import Path

from benchmarks.report.contests import cases, contests
from benchmarks.report.costs import costs
from benchmarks.report.growth import growth
from benchmarks.report.head import bars_table, head
from benchmarks.report.hollow import hollow
from benchmarks.report.losses import lost
from benchmarks.report.method import method
from benchmarks.report.own import limit, lookup, own, together
from benchmarks.report.plots import plots
from benchmarks.results import Results

__all__ = ["render", "write"]


def render(results: Results) -> str:
    """The whole report."""
    compared = results.compared
    parts = [
        head(results),
        bars_table(results),
        contests(compared),
        cases(compared),
        lost(compared),
        *(hollow(run) for run in results.runs),
        *(own(run) for run in results.runs),
        limit(results),
        together(results),
        lookup(results),
        *(costs(run) for run in results.runs),
        growth(results),
        method(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(results: Results, path: Path) -> None:
    """Write the report, and its plots into a folder beside it."""
    folder = path.parent / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in plots(results).items():
        (folder / f"{name}.svg").write_text(picture, "utf-8")
    path.write_text(render(results), "utf-8")
