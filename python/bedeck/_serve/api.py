"""What is answered to a request: the catalogue's side of HTTP, without any I/O."""

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final, cast, get_args
from urllib.parse import quote, unquote, unquote_to_bytes

from bedeck import uris as full
from bedeck._core import Compiled, Listed, blake3, read_ids, read_uris
from bedeck._serve.exposition import exposition
from bedeck._serve.limits import MOST_FIELDS, Limits
from bedeck._serve.message import Answer, Problem, Request
from bedeck._serve.metrics import Block, Slot
from bedeck._serve.openapi import described, page
from bedeck._serve.route import FIXED, OTHER, READING
from bedeck.catalogue import Catalogue
from bedeck.deadline import left
from bedeck.errors import DeadlineError, Error, MissingKeyError, SelectionError
from bedeck.records import Missing
from bedeck.state import State

__all__ = ["Api", "Job", "Sought"]

Job = Generator[None, None, Answer]  # an answer that takes long: gives way between slices
Fields = tuple[str, ...] | None

SLICE: Final = 500  # ids that are answered for in one go: some hundred microseconds
MOST_SOUGHT: Final = 256  # selections kept compiled
MOST_KEPT: Final = 100  # fields of a selection that is
NDJSON: Final = b"application/x-ndjson"
MISSING: Final = get_args(Missing)
STARTING: Final = "there is no version to serve yet: ask again in a second"


class Sought:
    """Selections as clients name them, compiled against one version.

    Unlike those of `bedeck.records.Selection` they do not keep the catalogue from moving on to a version without them:
    anybody may name anything.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.files = state.files
        self.header = (b"bedeck-version", b"%d" % state.version)
        self.headers = (self.header,)
        self.tag = state.files.ref.manifest[:16].encode()
        self.pages: dict[str, bytes] = {}
        types = self.files.manifest["types"]
        self.of_bytes = frozenset(name for name in types if types[name]["key"]["kind"] == "bytes")
        self._names: dict[str, str] = {quote(name, safe=""): name for name in types}
        self._found: dict[tuple[str, Fields], Compiled] = {}

    def compiled(self, name: str, fields: Fields) -> Compiled:
        """The selection of ``fields`` of the type ``name``. Raises `SelectionError`."""
        found = self._found.get((name, fields))
        if found is None:
            named = len(fields or ())
            if named > MOST_FIELDS:
                raise SelectionError(f"{named} fields of {name!r} at once: at most {MOST_FIELDS} are taken")
            found = self.state.compile(name, fields)
            if named <= MOST_KEPT:
                if len(self._found) >= MOST_SOUGHT:
                    self._found.clear()
                self._found[name, fields] = found
        return found

    def name(self, text: str) -> str:
        """The type that a part of a URL names. Raises `Problem`."""
        name = self._names.get(text) or self._names.get(quote(unquote(text), safe=""))
        if name is None:
            known = ", ".join(self._names.values())
            raise Problem(404, f"there is no type {unquote(text)!r}; there is {known}", self.header)
        return name

    def key(self, name: str, text: str) -> str | int | bytes:
        """What a part of a URL is as a key of the type. What can be none becomes one that nothing has."""
        kind = self.files.manifest["types"][name]["key"]["kind"]
        if kind == "bytes":
            return unquote_to_bytes(text)
        try:
            key = unquote(text, errors="strict")
        except UnicodeDecodeError:
            return b"\xff"
        if kind == "int":
            return int(key) if full.INTEGER.fullmatch(key) else 1 << 64
        return key


class Api:
    """The endpoints of a catalogue. ``catalogue`` is `None` until there is one, and after it; ``live`` ends sooner.

    ``lacking`` is what is told of that.
    """

    def __init__(self, limits: Limits, block: Block, slot: Slot, lacking: str = STARTING) -> None:
        self.limits = limits
        self.slot = slot
        self.lacking = lacking
        self.catalogue: Catalogue | None = None
        self.live = False
        self._block = block
        self._sought: Sought | None = None
        self.past: list[Sought] = []  # what is not served any more, and takes a moment to unmap
        self._of = (self._decorate, self._mixed, self._list, self._record)
        fixed = (
            self._alive,
            self._ready,
            lambda: Answer(exposition(block), media=b"text/plain; version=0.0.4; charset=utf-8"),
            lambda: self._page("openapi", described),
            lambda: self._page("docs", page, b"text/html; charset=utf-8"),
        )
        self._fixed: Mapping[str, Callable[[], Answer]] = dict(zip(FIXED, fixed, strict=True))

    def close(self) -> None:
        """Answer from the catalogue no more, and close it."""
        catalogue, self.catalogue, self.live, self._sought = self.catalogue, None, False, None
        self.past.clear()
        if catalogue:
            catalogue.close()

    def is_vital(self, request: Request) -> bool:
        """Whether it is answered whatever else is going on: those who look after the service ask for it."""
        return request.route == OTHER and request.path in self._fixed

    def begin(self, request: Request, /) -> Answer | Job:
        """The answer, or the work that gives it. Raises `Problem`."""
        if request.route == OTHER:
            return self._other(request)
        sought = self._newest()
        try:
            return self._of[request.route](sought, request)
        except Error as error:
            raise problem_of(error) from error

    def _newest(self) -> Sought:
        if self.catalogue is None:
            self.slot.shed("starting")
            raise Problem(503, self.lacking, (b"retry-after", b"1"))
        state, sought = self.catalogue.state, self._sought
        if sought is None or sought.state is not state:
            if sought is not None:
                self.past.append(sought)
            sought = self._sought = Sought(state)
        return sought

    def _decorate(self, sought: Sought, request: Request) -> Answer | Job:
        try:
            ids, fields, missing, partial = read_ids(request.body)
        except ValueError as error:
            raise unread(error, '{"ids": ["..."], "fields": ["..."]}') from None
        name = sought.name(request.type)
        if name in sought.of_bytes:
            told = f"keys of type {name!r} are bytes, which JSON does not hold: GET /v1/{request.type}?ids=...,..."
            raise Problem(422, told, sought.header)
        kept = missing_of(missing) if missing else "null"
        return self._answer(sought, request, name, ids, fields, kept, partial=partial)

    def _list(self, sought: Sought, request: Request) -> Answer | Job:
        name = sought.name(request.type)
        query = parameters(request.query, "ids", "fields", "missing")
        if "ids" not in query:
            raise Problem(400, f"name ids: /v1/{request.type}?ids=...,...&fields=...", parameter="ids")
        keys = [sought.key(name, text) for text in query["ids"]]
        if answer := self._unchanged(sought, request):
            return answer
        begun = self._answer(sought, request, name, keys, fields_of(query), missing_of(query.get("missing")))
        if not isinstance(begun, Answer):
            return self._cached(begun, sought, request)
        begun.headers += self._caching(sought, request)
        return begun

    def _cached(self, job: Job, sought: Sought, request: Request) -> Job:
        answer = yield from job
        answer.headers += self._caching(sought, request)
        return answer

    def _record(self, sought: Sought, request: Request) -> Answer:
        name, key_text = sought.name(request.type), request.path.rpartition("/")[2]
        fields = fields_of(parameters(request.query, "fields"))
        key = sought.key(name, key_text)
        body, missed = sought.compiled(name, fields).answer_json([key], "drop", left(request.deadline))
        self.slot.decorated(1, missed)
        if missed:
            raise Problem(404, f"type {name!r} has no record with the key {unquote(key_text)!r}", sought.header)
        if answer := self._unchanged(sought, request):
            return answer
        return Answer(body[1:-1], headers=(sought.header, *self._caching(sought, request)))

    def _mixed(self, sought: Sought, request: Request) -> Answer | Job:
        try:
            uris, fields, missing, partial = read_uris(request.body)
        except ValueError as error:
            raise unread(error, '{"uris": ["..."], "fields": {"type": ["..."]}}') from None
        kept = missing_of(missing)

        def part(start: int, end: int) -> tuple[list[bytes], int]:
            asked = uris[start:end]
            found = full.fragments(sought, asked, fields, kept, request.deadline)
            missed = len(asked) - len(found) + found.count(None)
            return [b"null" if fragment is None else fragment for fragment in found], missed

        if len(uris) > self.limits.ids:
            raise self._too_many(len(uris), "uris")
        ndjson = NDJSON in request.headers.get(b"accept", b"")
        return self._parts(sought, len(uris), part, kept, ndjson=ndjson, partial=partial)

    def _answer(  # noqa: PLR0913, PLR0917 - what a request holds
        self,
        sought: Sought,
        request: Request,
        name: str,
        ids: "Listed | list[Any]",
        fields: Fields,
        missing: Missing,
        *,
        partial: bool = False,
    ) -> Answer | Job:
        compiled, total = sought.compiled(name, fields), len(ids)
        if total > self.limits.ids:
            raise self._too_many(total, "ids")
        ndjson = NDJSON in request.headers.get(b"accept", b"")
        try:
            if total <= SLICE and not ndjson:
                body, missed = compiled.answer_json(ids, missing, left(request.deadline))
                self.slot.decorated(total, missed)
                return Answer(body, headers=sought.headers)
        except TypeError as error:
            raise Problem(422, str(error), sought.header, parameter="ids") from None

        def part(start: int, end: int) -> tuple[list[bytes], int]:
            asked = ids[start:end] if isinstance(ids, list) else ids.part(start, end)
            try:
                if not ndjson:
                    body, missed = compiled.answer_json(asked, missing, left(request.deadline))
                    return [body[1:-1]] if body != b"[]" else [], missed
                found = compiled.fragments(asked, missing, left(request.deadline))
            except TypeError as error:
                raise Problem(422, str(error), sought.header, parameter="ids") from None
            missed = len(asked) - len(found) + found.count(None)
            return [b"null" if fragment is None else fragment for fragment in found], missed

        return self._parts(sought, total, part, missing, ndjson=ndjson, partial=partial)

    def _parts(  # noqa: PLR0913 - as above
        self,
        sought: Sought,
        total: int,
        part: Callable[[int, int], tuple[list[bytes], int]],
        missing: Missing,
        *,
        ndjson: bool,
        partial: bool,
    ) -> Answer | Job:
        # An error names the place of what is missing in the whole list: that one is answered in one go.
        step = total or 1 if missing == "error" else SLICE
        slices = [(start, min(start + step, total)) for start in range(0, total or 1, step)]
        if ndjson:
            lines = self._lines(slices, part, partial=partial)
            first = next(lines, b"")  # what is wrong with all of it is told by a status
            return Answer(chained(first, lines), media=NDJSON, headers=(sought.header,))
        return self._array(sought, slices, part, total, partial=partial)

    def _lines(
        self, slices: list[tuple[int, int]], part: Callable[[int, int], tuple[list[bytes], int]], *, partial: bool
    ) -> Iterator[bytes]:
        for start, end in slices:
            try:
                records, missed = part(start, end)
            except DeadlineError:
                if partial and start:
                    return
                raise
            self.slot.decorated(end - start, missed)
            yield b"".join([record + b"\n" for record in records])

    def _array(
        self,
        sought: Sought,
        slices: list[tuple[int, int]],
        part: Callable[[int, int], tuple[list[bytes], int]],
        total: int,
        *,
        partial: bool,
    ) -> Job:
        pieces: list[bytes] = []
        done = 0
        try:
            for start, end in slices:
                records, missed = part(start, end)
                self.slot.decorated(end - start, missed)
                pieces += records
                done = end
                yield
        except DeadlineError as error:
            if not partial:
                raise problem_of(error) from None
        except Error as error:
            raise problem_of(error) from None
        said = () if done == total else ((b"bedeck-answered", b"%d" % done),)
        return Answer(b"[%b]" % b",".join(pieces), headers=(sought.header, *said))

    def _too_many(self, total: int, member: str) -> Problem:
        most = self.limits.ids
        return Problem(413, f"{member} has {total} of them: at most {most} are taken at once; ask in parts")

    def _unchanged(self, sought: Sought, request: Request) -> Answer | None:
        tag = etag(sought, request)
        wanted = [of.strip() for of in request.headers.get(b"if-none-match", b"").split(b",")]
        if b"*" in wanted or tag in wanted or b"W/" + tag in wanted:
            return Answer(status=304, headers=(sought.header, *self._caching(sought, request)))
        return None

    def _caching(self, sought: Sought, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        age = self.limits.max_age
        weak = b"W/" if self.limits.compress else b""  # the same answer in other bytes
        return (b"etag", weak + etag(sought, request)), (b"cache-control", b"max-age=%d" % age if age else b"no-cache")

    def _other(self, request: Request) -> Answer:
        path, fixed = request.path, self._fixed.get(request.path)
        if fixed and request.method in READING:
            return fixed()
        match path.split("/"):
            case ["", "v1", "decorate"]:
                allowed = "POST"
            case ["", "v1", _, "decorate"]:
                allowed = "POST, GET, HEAD"
            case ["", "v1", type_] if type_:
                allowed = "GET, HEAD"
            case ["", "v1", type_, key] if type_ and key:
                allowed = "GET, HEAD"
            case _ if fixed:
                allowed = "GET, HEAD"
            case _:
                raise Problem(404, f"there is nothing at {path}: /docs tells what there is")
        raise Problem(405, f"{request.method} is not for {path}: {allowed} is", (b"allow", allowed.encode()))

    def _alive(self) -> Answer:
        return Answer(b'{"live":true}')

    def _ready(self) -> Answer:
        if self.catalogue is None or not self.live:
            return Answer(b'{"ready":false}', 503, headers=((b"retry-after", b"1"),))
        return Answer(b'{"ready":true,"version":%d}' % self.catalogue.version)

    def _page(self, name: str, make: Callable[[Sought, Limits], bytes], media: bytes = b"application/json") -> Answer:
        sought = self._newest()
        if name not in sought.pages:
            sought.pages[name] = make(sought, self.limits)
        return Answer(sought.pages[name], media=media, headers=(sought.header,))


def problem_of(error: Error) -> Problem:
    """What an error of the catalogue is over HTTP."""
    match error:
        case DeadlineError():
            help_ = 'ask for fewer, allow for more, or take a part with "partial": true'
            return Problem(504, f"the answer was not complete in time: {help_}")
        case MissingKeyError():
            return Problem(404, str(error))
        case SelectionError():
            return Problem(422, str(error), parameter="fields")
        case _:
            return Problem(500, str(error))


def unread(error: ValueError, example: str) -> Problem:
    """A body that cannot be read."""
    return Problem(400, f"the body is not what is asked for here, as in {example}: {error}")


def missing_of(given: str | list[str] | None) -> Missing:
    """What is to become of ids without a record. Raises `Problem`."""
    value = given[0] if isinstance(given, list) and len(given) == 1 else given or "null"
    if value not in MISSING:
        raise Problem(422, f'missing={value!r}: expected "null", "drop" or "error"', parameter="missing")
    return cast("Missing", value)


def fields_of(query: Mapping[str, list[str]]) -> Fields:
    """The fields that a query names."""
    return tuple(unquote(name) for name in query["fields"]) if "fields" in query else None


def parameters(query: str, *known: str) -> dict[str, list[str]]:
    """The parts of lists in a query, each still percent-encoded: a comma in one is %2C. Raises `Problem`."""
    found: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in known:
            raise Problem(400, f"{unquote(name)!r} is no parameter here: {', '.join(known)}", parameter=unquote(name))
        found.setdefault(name, []).extend(value.replace("+", "%20").split(",") if value else [])
    return found


def etag(sought: Sought, request: Request) -> bytes:
    """What tells this answer from others: the version's content, and what is asked of it."""
    asked = blake3(f"{request.path}?{request.query}".encode())[:16]
    return b'"%b-%b"' % (sought.tag, asked.encode())


def chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """``first``, then the rest."""
    yield first
    yield from rest
