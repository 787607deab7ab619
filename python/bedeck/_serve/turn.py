"""A request that comes by way of a server of others, and waits at the desk in a task."""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable

from bedeck._serve.desk import Desk, Work, due
from bedeck._serve.message import Answer, Problem, Request
from bedeck._serve.route import OTHER

__all__ = ["answered", "body_within"]


class Turn:
    """A place in the line."""

    __slots__ = ("_done", "_work")

    def __init__(self, work: Work, desk: Desk, *, begun: bool) -> None:
        self._work = work
        self._done: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        desk.join(self, begun=begun)

    def step(self, now: float) -> None:
        """Do a part of the work, unless nobody waits for it any more."""
        if not self._done.cancelled():
            self._done.set_result(self._work.step(now))

    async def taken(self) -> Answer | None:
        """Wait for it; the answer, if it is there."""
        return await self._done


async def answered(desk: Desk, request: Request, body: Callable[[int], Awaitable[bytes]]) -> tuple[Answer, int]:
    """The answer to a request whose ``body`` is still to be read, and its route."""
    try:
        request.deadline = due(desk.limits, request.headers, request.at)
        if not desk.api.is_vital(request) and (reason := desk.gate.refuses()):
            desk.slot.shed(reason)
            raise desk.gate.problem()
        request.body = await body(desk.limits.body)
        request.whole(time.monotonic())
    except Problem as problem:
        return problem.answer(), OTHER
    work = Work(desk, request)
    work.wait()
    answer: Answer | None = None
    begun = False
    try:
        while answer is None:
            answer, begun = await Turn(work, desk, begun=begun).taken(), True
    finally:
        if answer is None:
            work.dropped()
    return answer, request.route


async def body_within(parts: AsyncIterable[bytes], most: int) -> bytes:
    """The whole body. Raises `Problem` where it is over ``most`` bytes."""
    found: list[bytes] = []
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise Problem(413, f"the body is over {most} bytes: ask in parts")
        found.append(part)
    return b"".join(found)
