"""Waits for an instance's SSH server, as its renter will meet it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

BANNER_PREFIX = b"SSH-2.0-"
#: RFC 4253, section 4.2: the identification string with its line end.
MAX_BANNER_BYTES = 255
CONNECT_S = 2.0
#: How long a server may take to speak once it has accepted.
GREETING_S = 5.0
FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
CHECK_INTERVAL_S = 1.0


async def await_ssh_banner(port: int, check: Callable[[], Awaitable[None]]) -> None:
    """Returns when a server on this loopback port has sent its SSH banner.

    Asks `check` about once a second meanwhile; what that raises ends the wait.
    """
    loop = asyncio.get_running_loop()
    checked_at, pause_s = loop.time(), FIRST_PAUSE_S
    while not await has_ssh_banner(port):
        if loop.time() - checked_at >= CHECK_INTERVAL_S:
            await check()
            checked_at = loop.time()
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)


async def has_ssh_banner(port: int) -> bool:
    """One try."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_BANNER_BYTES)
    except OSError:
        return False
    try:
        async with asyncio.timeout(GREETING_S):
            return (await reader.readuntil(b"\n")).startswith(BANNER_PREFIX)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
