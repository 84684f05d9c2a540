"""Waiting for a condition: tests never sleep for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

POLL_S = 0.01


async def until(condition: Callable[[], object | Awaitable[object]], limit_s: float = 20.0, what: str = "") -> None:
    """Returns as soon as the condition holds; fails with `what` after the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        result = condition()
        if await result if isawaitable(result) else result:
            return
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what or condition}"
        await asyncio.sleep(POLL_S)
