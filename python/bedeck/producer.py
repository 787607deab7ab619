"""The producer: publishes versions of a catalogue, cycle by cycle."""

import logging
import operator
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bedeck.build import Room, declared, told
from bedeck.candidate import Candidate, Site
from bedeck.cycle import Cycle, Finding
from bedeck.errors import BusyError, DuplicateKeyError, RefusedError, SourceError, StoreError
from bedeck.ground import Ground
from bedeck.intake import Progress, Work, chosen, expected, named
from bedeck.limits import checked
from bedeck.recipe import Recipe, compacted, full, updated
from bedeck.schema import Schema
from bedeck.sources import Source, is_read_once
from bedeck.store import LocalStore, Store
from bedeck.validators import Validator, Validators, validate
from bedeck.workplace import own_folder, workplace

__all__ = ["Producer"]

ATTEMPTS: Final = 5
log = logging.getLogger("bedeck")


class Producer:
    """Publishes versions of a catalogue in a store, one a cycle, and only those that validators let pass.

    * ``store``: a path, a URL (``s3://bucket/prefix``, ``gs://``, ``az://``) or a `Store`.
    * ``schema``: a `Schema`, or the path of a ``catalogue.toml``.
    * ``validators``: limits that go before those of the schema, and functions of one's own, by name. A function is
      called with the `View` of the version that is to be announced and with that of the version before, or ``None``;
      it refuses by raising, or by giving texts or `Finding`\\\\ s.
    * ``keep``: after each announcement, versions before the newest so many are removed from the store; none if ``None``.
    * ``compact_share``: where more of a type's records than this share are changed over its base, there is a new base.
    * ``threads``, ``memory``, ``progress``: as for `bedeck.build`.
    * ``say``: called with a sentence for each step; the logger ``bedeck`` has them, too.
    * ``work``: a folder to work in, for a store that is no folder; among temporary files if ``None``.
    * ``cache``: a folder for what is read from such a store; below ``$XDG_CACHE_HOME`` if ``None``.

    Any number of producers may work on one store, in any number of processes and hosts: of two that build on the same
    version one announces, and the other begins again with what that one announced. What is killed leaves the store as
    it was, and its work folder to the next cycle.
    """
