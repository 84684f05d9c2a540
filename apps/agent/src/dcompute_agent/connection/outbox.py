"""What waits to be written to the socket, in order and bounded."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ..wire import AgentMessage

MAX_WAITING = 1000
#: Half of what the gateway admits (600 at once, 100 a second), so that heartbeats and answers always pass.
OFFERS_AT_ONCE, OFFERS_PER_SECOND = 300.0, 50.0


class Outbox:
    """Messages of one session. A message that finds no room is not kept: its sender knows another way to say it."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._allowance = OFFERS_AT_ONCE
        self._allowed_s = now_s()
        self._waiting: deque[tuple[AgentMessage, asyncio.Future[None] | None]] = deque()
        self._changed = asyncio.Event()

    def offer(self, message: AgentMessage) -> bool:
        """Queues a message; False when there is no room, or when too many came at once."""
        if len(self._waiting) >= MAX_WAITING or not self._is_allowed():
            return False
        self._append(message, None)
        return True

    async def send(self, message: AgentMessage) -> None:
        """Queues a message, also without room, and returns when it was written: back-pressure for its sender."""
        written = asyncio.get_running_loop().create_future()
        self._append(message, written)
        await written

    async def next(self) -> tuple[AgentMessage, asyncio.Future[None] | None]:
        """The oldest message and whom to tell that it was written; for the one writer."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def _is_allowed(self) -> bool:
        now_s = self._now_s()
        gained = (now_s - self._allowed_s) * OFFERS_PER_SECOND
        self._allowance, self._allowed_s = min(OFFERS_AT_ONCE, self._allowance + gained), now_s
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _append(self, message: AgentMessage, written: asyncio.Future[None] | None) -> None:
        self._waiting.append((message, written))
        self._changed.set()
