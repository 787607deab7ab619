"""bedeck, as it stands beside each peer."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import bedeck
from benchmarks.jobs import Answer, Job

__all__ = ["answering", "seconds", "serving"]


def serving(store: Path) -> bedeck.Catalogue:
    """The catalogue of a store, open and warm."""
    catalogue = bedeck.open(store)
    catalogue.warm()
    return catalogue


def answering(catalogue: bedeck.Catalogue, job: Job) -> Answer:
    """What answers that job."""
    selection = catalogue["track"].select(*job.fields)
    return selection.decorate_json if job.name == "json" else selection.decorate


def seconds(work: Callable[[], object]) -> float:
    """How long that takes."""
    start = perf_counter()
    work()
    return perf_counter() - start
