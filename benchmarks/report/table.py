"""Tables in Markdown, and figures as they stand in them."""

from collections.abc import Iterable, Sequence

from benchmarks.clock import Times

__all__ = ["TIMES", "figure", "table", "times"]

TIMES = ("p50", "p99", "p99.9", "max")
_FOR_P99, _FOR_P999 = 100, 1000  # calls that such a percentile takes


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text, the others figures."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(times: Times) -> tuple[str, ...]:
    """The figures of `TIMES`; none where calls were too few."""
    return (
        f"{times.p50:,.1f}",
        f"{times.p99:,.1f}" if times.calls >= _FOR_P99 else "",
        f"{times.p999:,.1f}" if times.calls >= _FOR_P999 else "",
        f"{times.longest:,.1f}",
    )


def figure(value: float) -> str:
    """Three digits or so."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:,.1f}"  # noqa: PLR2004 - digits
