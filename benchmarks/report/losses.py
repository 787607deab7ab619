"""Where bedeck loses."""

from benchmarks.losses import Loss, losses
from benchmarks.report.table import figure
from benchmarks.results import Run

__all__ = ["lost"]


def lost(run: Run) -> str:
    """A line for each figure in which peers are ahead."""
    if not run.contests:
        return ""
    lines = [f"* {what}: {_ahead(ahead)}." for what, ahead in losses(run).items()] or ["Nowhere in this run."]
    text = "Who is ahead of bedeck, and in brackets bedeck's own figure beside it."
    return f"## Where bedeck loses, {run.tracks:,} tracks\n\n{text}\n\n" + "\n".join(lines)


def _ahead(ahead: list[Loss]) -> str:
    return ", ".join(f"{loss.peer} {figure(loss.theirs)} ({figure(loss.ours)})" for loss in ahead)
