"""One session on one socket: handshake, then reading, writing and beating until it ends."""

import asyncio
import logging
from typing import TypeVar

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection

from ..protocol import models as m
from ..wire import MAX_MESSAGE_BYTES, AgentMessage, encode_agent_message, parse_backend_message
from .backoff import CloseCode
from .dialogue import Dialogue, SessionClosedError
from .outbox import Outbox

log = logging.getLogger(__name__)

HANDSHAKE_LIMIT_S = 20.0
SEND_LIMIT_S = 20.0
#: Without a word for this long (and for three beats) the session is given up. A dead socket is noticed by pings, much
#: sooner; a backend whose database is away may be silent for a minute.
MIN_SILENCE_S = 90.0
SILENT_BEATS = 3
T = TypeVar("T", bound=BaseModel)


class Session:
    """Pumps messages between a socket and a dialogue."""

    def __init__(self, socket: ClientConnection, dialogue: Dialogue, outbox: Outbox) -> None:
        self._socket = socket
        self._dialogue = dialogue
        self._outbox = outbox
        self._beat_now = asyncio.Event()
        self._interval_s = 0.0

    async def greet(self) -> m.Welcome:
        """The handshake. Raises SessionClosedError, ConnectionClosed, TimeoutError."""
        async with asyncio.timeout(HANDSHAKE_LIMIT_S):
            challenge = await self._expect(m.Challenge)
            await self._socket.send(encode_agent_message(self._dialogue.hello(challenge)))
            return await self._expect(m.Welcome)

    async def converse(self, welcome: m.Welcome) -> None:
        """Runs until the session ends, always by an exception: SessionClosedError, ConnectionClosed, TimeoutError."""
        self._interval_s = welcome.heartbeat_interval_ms / 1000
        pumps = [asyncio.create_task(pump) for pump in (self._read(), self._write(), self._beat())]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def close(self, code: int, reason: str) -> None:
        """Says why before it hangs up."""
        await self._socket.close(code, reason[:100])

    def beat_soon(self) -> None:
        """Something in the next beat should not wait for its time."""
        self._beat_now.set()

    async def _expect(self, model: type[T]) -> T:
        """The next message of this kind; errors before it are logged, anything else is out of place."""
        while True:
            text = await self._socket.recv()
            message = parse_backend_message(text)
            if isinstance(message, model):
                return message
            if not isinstance(message, m.ProtocolError):
                raise SessionClosedError(CloseCode.POLICY_VIOLATION, f"expected {model.__name__.lower()}")
            log.warning("backend_error", extra={"code": message.code.value, "error": message.message})

    async def _read(self) -> None:
        silence_s = max(MIN_SILENCE_S, SILENT_BEATS * self._interval_s)
        while True:
            async with asyncio.timeout(silence_s):
                text = await self._socket.recv()
            await self._dialogue.hear(text)

    async def _write(self) -> None:
        while True:
            message, written = await self._outbox.next()
            await self._send(message)
            if written is not None and not written.done():
                written.set_result(None)

    async def _send(self, message: AgentMessage) -> None:
        text = encode_agent_message(message)
        if len(text.encode()) > MAX_MESSAGE_BYTES:
            # Cannot be, by the limits on its members; if it is, the session is worth more than the message.
            log.error("message_too_big", extra={"message": type(message).__name__})
            return
        async with asyncio.timeout(SEND_LIMIT_S):
            await self._socket.send(text)

    async def _beat(self) -> None:
        for beat in self._dialogue.beats.full_set():
            await self._outbox.send(beat)
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._beat_now.wait()
            except TimeoutError:
                pass
            self._beat_now.clear()
            await self._outbox.send(self._dialogue.beats.next())
