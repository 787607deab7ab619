"""The producer: publishes versions of a catalogue, cycle by cycle."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from bedeck._arrow import pyarrow
from bedeck.build import Room, at_least, declared, told
from bedeck.cache import Cache, default_folder
from bedeck.candidate import Site
from bedeck.cycle import Cycle, Finding
from bedeck.errors import BusyError, DuplicateKeyError, RefusedError, StoreError
from bedeck.ground import Ground
from bedeck.intake import Progress, chosen, named
from bedeck.limits import DEFAULTS, Limit, checked
from bedeck.log import Entry
from bedeck.origin import Folder
from bedeck.recipe import Recipe, compacted, full, updated
from bedeck.schema import Schema
from bedeck.sources import Source, is_read_once
from bedeck.store import LocalStore, Store
from bedeck.validators import Validator, Validators, validate
from bedeck.workplace import own_folder, workplace

__all__ = ["Producer"]

ATTEMPTS: Final = 5
DUPLICATES: Final = "duplicate-keys"
Make = Callable[[Ground, Schema], Recipe]

log = logging.getLogger("bedeck")


class Producer:
    """Publishes versions of a catalogue in a store, one a cycle, and only those that validators let pass.

    * ``store``: a path, a URL (``s3://bucket/prefix``, ``gs://``, ``az://``) or a `Store`.
    * ``schema``: a `Schema`, or the path of a ``catalogue.toml``.
    * ``validators``: limits that go before those of the schema, and functions of one's own, by name. A function is
      called with the `View` of the version that is to be announced and with that of the version before, or ``None``;
      it refuses by raising, or by giving a text or a `Finding` for each thing that it found.
    * ``keep``: after each announcement, all versions but the newest so many are removed; none if ``None``.
    * ``compact_share``: where more of a type's records than this share are changed over its base, there is a new base.
    * ``threads``, ``memory``, ``progress``: as for `bedeck.build`.
    * ``say``: called with a sentence where a cycle takes more than others, as for new bases. The logger ``bedeck`` has
      that, too, and each step.
    * ``work``: a folder to work in, for a store that is no folder; among temporary files if ``None``.
    * ``cache``: a folder for what is read from such a store; below ``$XDG_CACHE_HOME`` if ``None``.

    Any number of producers may work on one store, in any number of processes and hosts: of two that build on the same
    version one announces, and the other begins again with what that one announced. What is killed leaves the store as
    it was, and its work folder to the next cycle.
    """

    def __init__(  # noqa: PLR0913 - what may be left out is named
        self,
        store: str | os.PathLike[str] | Store,
        schema: Schema | str | os.PathLike[str],
        *,
        validators: Mapping[str, Limit | Validator] | None = None,
        keep: int | None = None,
        compact_share: float = 0.2,
        threads: int | None = None,
        memory: int | None = None,
        progress: Progress | None = None,
        say: Callable[[str], object] | None = None,
        work: str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        found = Store.at(store)
        self.store = LocalStore(found.path.absolute()) if isinstance(found, LocalStore) else found
        self._schema, self._base, self._place = declared(schema)
        self._validators = _validators(self._schema, validators or {})
        self._keep = None if keep is None else at_least(1, "keep", keep, "all")
        if not 0 <= compact_share <= 1:
            raise ValueError(f"compact_share={compact_share}: a share from 0 to 1 is expected")
        self._share = compact_share
        self._room = Room.of(threads, memory)
        self._progress = told(progress)
        self._tell = say
        if isinstance(self.store, LocalStore):
            self._origin: Folder | Cache = Folder(self.store)
        else:  # a cache of its own, which consumers do not clear, and whose versions it does not clear
            self._origin = Cache(
                self.store, (Path(cache).absolute() if cache else default_folder()) / "producer", keep=1
            )
        self._work = None if work is None else Path(work).absolute()

    def __repr__(self) -> str:
        return f"<bedeck.Producer of {self.store.place}>"

    def cycle(
        self,
        sources: Mapping[str, Source] | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        allow: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> Cycle:
        """Read all sources, and announce what they hold as the next version, if it is other than the one announced.

        ``sources`` as for `bedeck.build`. Only what changed is written: overlays and groups of fields over the blobs
        there are, or new bases where that is too much. ``annotations`` go into the log. ``allow`` has reasons to let
        pass what a validator would refuse, by its name, and these go into the log too. With ``dry_run`` all is done
        but to announce.

        Fields that nobody declares keep their types, and keys their kinds, as long as the sources allow it.

        Raises `RefusedError` where validators refuse, `SchemaError`, `SourceError` and below, `StoreError`; `BusyError`
        where others announced something each time. Nothing is announced then.
        """
        given = chosen(self._schema, sources, self._place)
        once = [name for name, source in given.items() if is_read_once(source)]
        return self._run(lambda _, schema: full(schema, given, self._schema), once, annotations, allow, dry_run=dry_run)

    def update(
        self,
        upserts: Mapping[str, Source] | None = None,
        deletes: Mapping[str, Iterable[Any]] | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        allow: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> Cycle:
        """Announce the records that there are, but for those that are new or other, and those to be deleted.

        * ``upserts``: by type, records in full, of any form that a source has; the others of the type stay. Those of
          mappings may lack fields, which are null then; files and Arrow data have all that the version has.
        * ``deletes``: by type, keys. Those that have no record are passed over.

        Where too much would lie over the blobs there are, all records are read and written anew: `compact`.
        The rest is as for `cycle`. Sources that can be read once only are read into memory. Raises `NotFoundError`
        where nothing is announced yet, and `SchemaError` where types or keys are other than announced.
        """
        given = {name: _again(source) for name, source in named(self._schema, upserts or {}, "upserts").items()}
        gone = {name: _column(keys) for name, keys in named(self._schema, deletes or {}, "deletes").items()}
        return self._run(
            lambda ground, schema: updated(schema, ground.parent, given, gone), [], annotations, allow, dry_run=dry_run
        )

    def compact(self, *, annotations: Mapping[str, str] | None = None) -> Cycle:
        """Announce the records that there are in new bases, without layers over them: all consumers fetch all of it.

        Says how much that is before it starts. Raises `NotFoundError` where nothing is announced yet, `StoreError`.
        """
        return self._run(lambda ground, schema: compacted(schema, ground.parent), [], annotations, None)

    def _run(
        self, make: Make, once: Sequence[str], annotations: object, allow: object, *, dry_run: bool = False
    ) -> Cycle:
        """Build what ``make`` gives for what is announced, until it can be announced: five times at most.

        Types in ``once`` have sources that can be read once only.
        """
        started = time.monotonic()
        order = Order(make, _texts("annotations", annotations), self._reasons(allow), dry_run)
        self.store.prepare()
        for attempt in range(1, ATTEMPTS + 1):
            with workplace(self._root()) as folder:
                ground = Ground.of(self.store, self._origin)
                try:
                    cycle = self._attempt(order, ground, folder)
                except StoreError as error:
                    if not self._is_behind(ground):
                        raise
                    if once:
                        told = f"the source of {', '.join(once)} can be read once only, so this cannot begin again"
                        raise BusyError(f"{error}; {told}: give a function that makes it, and run it again") from error
                    self._say(f"this begins again with what others have announced meanwhile ({error})")
                    continue
            if cycle.version is not None:
                self._collect()
            return replace(cycle, seconds=time.monotonic() - started, attempts=attempt)
        told = f"others have announced a version in {self.store.place} each of {ATTEMPTS} times that one was built"
        raise BusyError(f"{told}: let one producer run at a time, and try again")

    def _attempt(self, order: "Order", ground: Ground, folder: Path) -> Cycle:
        before = ground.head.announced.version if ground.head else None
        self._log(f"building version {ground.version} on {f'version {before}' if before else 'nothing'}")
        site = Site(folder, self._base, self._room, self._share, self._progress, self._say)
        try:
            candidate = site.make(order.make(ground, self._lenient(order.allow)), ground)
        except DuplicateKeyError as error:
            raise self._refused([_duplicates(error)], ground) from error
        cycle = Cycle(
            None,
            before,
            candidate.types,
            0,
            dry_run=order.dry_run,
            annotations=order.annotations,
            gone=candidate.gone,
        )
        if not candidate.is_new:
            self._log(f"nothing is new: version {before} stays")
            return replace(cycle, unchanged=True)
        found = validate(candidate, self._validators)
        if any(finding.validator not in order.allow for finding in found):
            raise self._refused(found, ground)
        names = {finding.validator for finding in found}
        overrides = {name: reason for name, reason in order.allow.items() if name in names}
        cycle = replace(cycle, allowed=tuple(found), overrides=overrides)
        if order.dry_run:
            return cycle
        details = {"annotations": order.annotations, "overrides": overrides, "allowed": [str(one) for one in found]}
        self._log(f"publishing {cycle.bytes:,} bytes")
        made = {**candidate.details, **details}
        entry = self.store.announce(ground.head, candidate.manifest, candidate.blobs, made)
        self._log(f"version {ground.version} is announced")
        self._remember(entry, candidate.blobs)
        return replace(cycle, version=ground.version)

    def _reasons(self, allow: object) -> dict[str, str]:
        reasons = _texts("allow", allow)
        for name, reason in reasons.items():
            self._validators.check(name)
            if not reason.strip():
                raise ValueError(f"allow: {name} needs a reason, which goes into the log")
        return reasons

    def _lenient(self, allow: Mapping[str, str]) -> Schema:
        """The schema, where keys that come twice are left to the validator to judge."""
        types = dict(self._schema.types)
        for name, type_ in types.items():
            if type_.on_duplicate == "error" and (
                DUPLICATES in allow or self._validators.limits(name).share(DUPLICATES)
            ):
                types[name] = replace(type_, on_duplicate="last")
        return replace(self._schema, types=types)

    def _refused(self, findings: Sequence[Finding], ground: Ground) -> RefusedError:
        stays = f"version {ground.head.announced.version} stays" if ground.head else "nothing is announced yet"
        found = f"version {ground.version} of {self.store.place} is refused, and {stays}"
        lines = [f"{found}. Validators found:"]
        for finding in findings:
            lines.append(str(finding))
            lines += [f"  as in {', '.join(finding.examples)}"] * bool(finding.examples)
            lines += [f"  to allow it for good: {finding.limit}"] * bool(finding.limit)
        reasons = ", ".join(f'"{name}": "..."' for name in dict.fromkeys(finding.validator for finding in findings))
        lines.append(f"to announce it all the same, say why: allow={{{reasons}}}")
        return RefusedError("\n".join(lines), findings)

    def _is_behind(self, ground: Ground) -> bool:
        """Whether something else is announced than when a cycle began."""
        try:
            newest = self.store.newest()
        except StoreError:
            return False
        return (newest and newest.announced) != (ground.head and ground.head.announced)

    def _root(self) -> Path:
        if isinstance(self.store, LocalStore):
            return self.store.path / "tmp"
        return own_folder() if self._work is None else self._work

    def _remember(self, entry: Entry, blobs: Mapping[str, Path]) -> None:
        """Keep what was uploaded, which the next cycle builds on."""
        if isinstance(self._origin, Cache):
            try:
                self._origin.take(blobs)
                self._origin.settle(entry)
            except StoreError as error:
                log.warning("the next cycle has to download what this one has uploaded: %s", error)

    def _collect(self) -> None:
        if self._keep is not None:
            try:
                self.store.collect(self._keep)
            except StoreError as error:
                log.warning("versions that are not needed any more were not removed: %s", error)

    def _log(self, text: str) -> None:
        log.info("%s: %s", self.store.place, text)

    def _say(self, text: str) -> None:
        self._log(text)
        if self._tell is not None:
            self._tell(text)


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asked for: what to build, what to note of it, and what to let pass for which reasons."""

    make: Make
    annotations: Mapping[str, str]
    allow: Mapping[str, str]
    dry_run: bool


def _validators(schema: Schema, given: object) -> Validators:
    if not isinstance(given, Mapping):
        raise TypeError(f"validators: a mapping of name to limit or function is expected, not {type(given).__name__}")
    own = {name: validator for name, validator in given.items() if callable(validator)}
    if known := sorted(own.keys() & DEFAULTS.keys()):
        raise ValueError(f"validators: {known[0]!r} is the name of one that there is: give your own another one")
    return Validators(schema, checked({name: limit for name, limit in given.items() if name not in own}), own)


def _texts(what: str, given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise TypeError(f"{what}: a mapping of texts to texts is expected, not {given!r}")
    return dict(given)


def _duplicates(error: DuplicateKeyError) -> Finding:
    first, *examples = str(error).splitlines()
    return Finding(DUPLICATES, f"{first} {'; '.join(line.strip() for line in examples)}")


def _again(source: Source) -> Source:
    """A source that can be read again."""
    if not is_read_once(source):
        return source
    return list(source) if isinstance(source, Iterator) else pyarrow().table(source)


def _column(keys: object) -> Any:  # noqa: ANN401 - an Arrow array
    """Keys as an Arrow column."""
    if hasattr(keys, "__arrow_c_stream__") or hasattr(keys, "__arrow_c_array__"):
        return pyarrow().chunked_array(keys)
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise TypeError(f"deletes: keys are expected, in an iterable, not {keys!r}")
    return pyarrow().array([str(key) if isinstance(key, UUID) else key for key in keys])
