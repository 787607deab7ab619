"""A catalogue inside an ASGI application, of Starlette, FastAPI, Litestar or what is like them.

>>> music = Service("store/")                                               # doctest: +SKIP
>>> app = FastAPI(lifespan=music.lifespan)                                  # doctest: +SKIP
>>> app.add_route("/readyz", music.ready)                                   # doctest: +SKIP
>>> @app.get("/playlists/{name}")                                           # doctest: +SKIP
... @music.decorated("track", ["title", "artists.name"])
... async def playlist(name: str): return await ids_of(name)

Needs Starlette, which FastAPI brings along: ``pip install starlette``.
"""

import functools
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bedeck import items
from bedeck._serve.opening import opened
from bedeck.catalogue import Catalogue
from bedeck.embed import Rendered, document
from bedeck.errors import DeadlineError, MissingKeyError
from bedeck.records import Missing, View, chosen, kept
from bedeck.store import Store

__all__ = ["Decorated", "Service"]

VERSION: Final = "bedeck-version"  # the header of an answer that says which version it is of


class Decorated(Response):
    """A JSON document with parts that are rendered already: ``Decorated({"tracks": Rendered(body), "total": 100})``."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - whatever json takes
        """The document in UTF-8."""
        return document(content)


class Service:
    """The catalogue of an application: opened, followed and warmed before the first request, closed after the last.

    ``store`` and ``options`` are what `bedeck.open` takes; with ``follow=True`` unless they say otherwise. ``warm`` and
    ``lock`` are as in `Catalogue.warm`. One service is one catalogue; an application may have several.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Store,
        *,
        warm: bool = True,
        lock: bool = False,
        **options: Any,  # noqa: ANN401 - those of bedeck.open
    ) -> None:
        self._store = store
        self._options = {"follow": options.get("version") is None, **options}
        self._warm, self._lock = warm, lock
        self._catalogue: Catalogue | None = None

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """The ``lifespan`` of an application, or a part of its own: ``async with music.lifespan(): yield``.

        The server takes no request before it is open and warm. What `bedeck.open` raises ends the start.
        """
        catalogue = await to_thread.run_sync(self._open)
        self._catalogue = catalogue
        try:
            yield
        finally:
            self._catalogue = None
            catalogue.close()

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue. Raises ``RuntimeError`` where the application has not started, or has ended."""
        if self._catalogue is None:
            raise RuntimeError("the catalogue is not open: give the application lifespan=service.lifespan")
        return self._catalogue

    async def view(self) -> View:
        """One version for all of a request: ``view: Annotated[bedeck.View, Depends(music.view)]``."""
        return self.catalogue.view()

    async def ready(self, _request: Request) -> Response:
        """An endpoint that answers 200 once there is a version to serve, and 503 before and after: for load balancers.

        Its JSON has ``ready`` and ``version``. It does not tell whether the version is the newest: `Catalogue.status`.
        """
        if self._catalogue is None:
            return Decorated({"ready": False, "version": None}, 503, {"retry-after": "1"})
        return Decorated({"ready": True, "version": self._catalogue.version})

    def decorated(  # noqa: PLR0913 - what may be left out is named
        self,
        name: str,
        fields: Sequence[str] | None = None,
        *,
        key: str | None = None,
        into: str | None = None,
        missing: Missing = "null",
        budget: float | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Make a handler that gives ids one that answers with the records of the type ``name``, as a JSON array.

        With ``key`` it gives mappings that carry an id under that, and the answer has them with their records, as
        `Records.decorate_items` puts them. ``budget`` is how many seconds the answer may take. The handler may be
        ``async`` or not; a `Response` of its own is sent as it is. A view that it takes, as of ``Depends(music.view)``,
        is what it is answered from. The answer's header ``bedeck-version`` has the version.

        An id without a record is a 404 with ``missing="error"``; an answer that is not complete in time a 504.
        """
        asked = chosen(fields)

        def answer(given: Response | Iterable[Any], view: View) -> Response:
            if isinstance(given, Response):
                return given
            deadline = None if budget is None else time.monotonic() + budget
            try:
                body = _body(view, name, asked, given, key, into, missing, deadline)
            except MissingKeyError as error:
                raise HTTPException(404, str(error)) from error
            except DeadlineError as error:
                raise HTTPException(504, str(error)) from error
            return Decorated(body, headers={VERSION: str(view.version)})

        def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(handler)
            async def in_turn(*args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - those of the handler
                view = self._seen(kwargs)
                return answer(await handler(*args, **kwargs), view)

            @functools.wraps(handler)
            def at_once(*args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - those of the handler
                view = self._seen(kwargs)
                return answer(handler(*args, **kwargs), view)

            waits = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
            made: Callable[..., Any] = in_turn if waits else at_once
            # Frameworks take what an endpoint answers from its signature.
            vars(made)["__signature__"] = inspect.signature(handler).replace(return_annotation=Response)
            return made

        return decorate

    def _seen(self, given: Mapping[str, Any]) -> View:
        """The view of this catalogue that a handler is given, or one for it."""
        view = self.catalogue.view()
        place = view.state.files.place
        return next((of for of in given.values() if isinstance(of, View) and of.state.files.place == place), view)

    def _open(self) -> Catalogue:
        if self._catalogue is not None:
            raise RuntimeError(
                "the service has started already, and not ended: a second one needs a Service of its own"
            )
        return opened(self._store, self._options, warm=self._warm, lock=self._lock)


def _body(  # noqa: PLR0913, PLR0917 - those of `decorated`
    view: View,
    name: str,
    fields: tuple[str, ...] | None,
    given: Iterable[Any],
    key: str | None,
    into: str | None,
    missing: Missing,
    deadline: float | None,
) -> Any:  # noqa: ANN401 - a document
    records = view[name]
    if key is None:
        return Rendered(records.decorate_json(given, fields, missing=missing, deadline=deadline))
    if into is None:
        return records.decorate_items(given, fields, key=key, missing=missing, deadline=deadline)

    def rendered(ids: list[Any]) -> list[Rendered | None]:
        fragments = records.fragments(ids, fields, missing=kept(missing), deadline=deadline)
        return [None if fragment is None else Rendered(fragment) for fragment in fragments]

    return items.decorate(given, rendered, key, into, missing)
