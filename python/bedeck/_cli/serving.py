"""The verb that serves: bedeck serve."""

from contextlib import closing
from typing import Any, Final, Literal

import click

from bedeck._cli.sizes import Size

__all__ = ["serve"]

MILLI: Final = 1000.0


@click.command()
@click.argument("store")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that answer.")
@click.option(
    "--bound",
    type=click.FloatRange(1, min_open=False),
    default=50,
    show_default=True,
    metavar="MS",
    help="What an answer may take, waiting included; whatever would not be begun in time is refused.",
)
@click.option("--ids", type=click.IntRange(1), default=10_000, show_default=True, help="Most ids of a request.")
@click.option("--body", type=Size(1), default=None, metavar="SIZE", help="Most bytes of a request's body. [1MiB]")
@click.option(
    "--max-age", type=click.IntRange(0), default=0, show_default=True, metavar="S", help="For caches of GETs."
)
@click.option("--compress", type=Size(1), metavar="SIZE", help="Compress bodies from this size on. [none]")
@click.option(
    "--drain", type=click.FloatRange(0), default=10, show_default=True, metavar="S", help="To end what began."
)
@click.option(
    "--linger",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    metavar="S",
    help="To go on after saying that it is not ready, for load balancers to see that.",
)
@click.option(
    "--wait", type=click.FloatRange(0), default=None, metavar="S", help="For a first version, if there is none."
)
@click.option("--poll", type=click.FloatRange(0, min_open=True), default=5, show_default=True, metavar="S")
@click.option("--cache", metavar="DIR", help="Where files of a remote store lie on this host.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Serve this version, and follow no other.")
@click.option("--lock", is_flag=True, help="Have the system keep all of it in memory (mlock).")
@click.option("--server", type=click.Choice(["bedeck", "uvicorn"]), default="bedeck", show_default=True)
@click.option("--otel", "telemetry", is_flag=True, help="Tell OpenTelemetry of each answer, as OTEL_... variables say.")
@click.option("--access-log", is_flag=True, help="Log each answer.")
def serve(  # noqa: PLR0913 - each is an option
    store: str,
    *,
    host: str,
    port: int,
    workers: int,
    bound: float,
    ids: int,
    body: int | None,
    max_age: int,
    compress: int | None,
    drain: float,
    linger: float,
    server: Literal["bedeck", "uvicorn"],
    version: int | None,
    lock: bool,
    telemetry: bool,
    access_log: bool,
    **options: Any,  # noqa: ANN401 - those of bedeck.open
) -> None:
    """Answer requests over HTTP, and follow STORE.

    STORE is a path or a URL, as s3://bucket/prefix. SIGTERM ends it in order, SIGHUP replaces its processes one by one.
    /docs tells what can be asked for, /metrics how it does. Logs are lines of JSON on standard error.
    """
    try:
        from bedeck import serve as serving  # noqa: PLC0415 - which needs what nothing else does
        from bedeck._serve.logs import to_stderr  # noqa: PLC0415 - only here
    except ModuleNotFoundError as error:
        if error.name not in {"uvloop", "httptools"}:
            raise
        raise ImportError(f"serving needs {error.name}: pip install 'bedeck[serve]'") from error
    sizes = {"body": body, "compress": compress}
    most = {name: size for name, size in sizes.items() if size}
    limits = serving.Limits(bound=bound / MILLI, ids=ids, max_age=max_age, drain=drain, linger=linger, **most)
    chosen = {name: value for name, value in options.items() if value is not None}
    followed = {"version": version} if version else {}
    with closing(to_stderr(access=access_log)):
        serving.serve(
            store,
            host=host,
            port=port,
            workers=workers,
            limits=limits,
            lock=lock,
            server=server,
            telemetry=telemetry,
            **chosen,
            **followed,
        )
