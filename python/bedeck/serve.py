"""A catalogue over HTTP: a service of its own, beside those that ask it.

``bedeck serve STORE`` on the command line. docs/http.md tells what it answers, and docs/deploying.md how to run it.
Needs uvloop and httptools: ``pip install bedeck[serve]``.
"""

import logging
import os
import resource
from typing import Any, Final, Literal

from bedeck._serve.limits import Limits
from bedeck._serve.metrics import Block
from bedeck._serve.supervisor import Supervisor
from bedeck._serve.worker import Plan
from bedeck.store import Store

__all__ = ["Limits", "serve"]

FILES: Final = 65_536  # connections, and a few files

log = logging.getLogger("bedeck.serve")


def serve(  # noqa: PLR0913 - each but the first has its default
    store: str | os.PathLike[str] | Store,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    limits: Limits | None = None,
    lock: bool = False,
    server: Literal["bedeck", "uvicorn"] = "bedeck",
    telemetry: bool = False,
    **options: Any,  # noqa: ANN401 - those of bedeck.open
) -> None:
    """Answer requests until SIGTERM or SIGINT; SIGHUP replaces the worker processes one by one. In the main thread.

    ``options`` are those of `bedeck.open`, with ``follow=True`` unless ``version=`` is named. Every worker maps the
    same files, so that these are in memory once. With ``telemetry`` OpenTelemetry is told of each answer, as its
    environment variables say. ``port=0`` takes a free one, which the log tells.

    Raises what `bedeck.open` raises, and ``OSError`` where the address is taken, or none of this host.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1 is expected")
    plan = Plan(
        store=Store.at(store),
        options={"follow": options.get("version") is None, **options},
        limits=limits or Limits(),
        block=Block(2 * workers, workers),  # a worker and the one that takes its place
        lock=lock,
        server=server,
        telemetry=telemetry,
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    try:
        supervisor = Supervisor(plan, host, port, workers)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise OSError(f"cannot listen at {place(host, port)}: {why}; name another host or port") from error
    log.info("listening", extra={"url": f"http://{place(*supervisor.address)}", "workers": workers})
    supervisor.run()


def place(host: str, port: int) -> str:
    """Both, as a URL has them."""
    return f"{f'[{host}]' if ':' in host else host}:{port}"
