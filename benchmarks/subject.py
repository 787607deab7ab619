"""bedeck, as it stands beside each peer."""

from functools import partial
from typing import Any

import pyarrow as pa

import bedeck
from benchmarks.data import Data
from benchmarks.jobs import Answer, Job
from benchmarks.peers.peer import Peer

__all__ = ["Bedeck"]


class Bedeck(Peer):
    """The announced version of the store, opened and warmed; a selection compiled once for each job."""

    name = "bedeck"
    about = (
        "opened by `bedeck.open`, warmed by `warm`, and asked through a selection compiled once; columns are those of "
        "`decorate_arrow`, taken by `pyarrow.table`."
    )
    bytes_a_track = 110

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers all
        self.catalogue = bedeck.open(data.store)
        self.tracks = self.catalogue["track"]
        self.warm()

    def warm(self) -> None:
        """Map every page."""
        self.catalogue.warm()

    def answer(self, job: Job) -> Answer:
        """The method of a selection."""
        selection = self.tracks.select(*job.fields)
        forms = {"json": selection.decorate_json, "dicts": selection.decorate}
        return forms.get(job.name) or partial(_table, selection)


def _table(selection: bedeck.Selection, ids: list[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    return pa.table(selection.decorate_arrow(ids))
