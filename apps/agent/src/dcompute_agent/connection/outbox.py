"""What waits to be written to the socket, in order and bounded."""

import asyncio
from collections import deque

from ..wire import AgentMessage

MAX_WAITING = 1000


class Outbox:
    """Messages of one session. A message that finds no room is not kept: its sender knows another way to say it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[AgentMessage, asyncio.Future[None] | None]] = deque()
        self._changed = asyncio.Event()

    def offer(self, message: AgentMessage) -> bool:
        """Queues a message; False when there is no room."""
        if len(self._waiting) >= MAX_WAITING:
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

    def _append(self, message: AgentMessage, written: asyncio.Future[None] | None) -> None:
        self._waiting.append((message, written))
        self._changed.set()
