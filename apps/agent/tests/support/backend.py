"""A small server that speaks the backend's side of the real protocol, as a test tells it to."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from dcompute_agent.protocol import models as m
from dcompute_agent.wire import MAX_MESSAGE_BYTES, AgentEvents, hello_signing_text

from .fixtures import fixture_data

HOST_KEY = "dch_test"
NONCE = "nonce-that-is-long-enough"
NODE_ID = "7b0c1f0e-5a52-4b7e-9a53-2f6d7b1f2a01"
MODELS = {event: model for model, event in AgentEvents.BY_MODEL.items()}
T = TypeVar("T", bound=BaseModel)


@dataclass
class AgentSession:
    """One connection of an agent."""

    socket: ServerConnection
    acknowledges: bool = True
    commits_usage: bool = True
    heard: list[BaseModel] = field(default_factory=list[BaseModel])
    run_until: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rev: int = 0
    close_code: int | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, event: str, data: dict[str, Any] | BaseModel) -> None:
        payload = data.model_dump(mode="json", exclude_none=True) if isinstance(data, BaseModel) else data
        await self.socket.send(json.dumps({"event": event, "data": payload}))

    async def welcome(self, **changes: Any) -> m.Hello:
        """The handshake up to the welcome; the hello must be signed by the key that it names."""
        await self.send("challenge", fixture_data("backend.challenge", nonce=NONCE))
        hello = await self.expect(m.Hello)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(hello.public_key))
        key.verify(base64.b64decode(hello.signature), hello_signing_text(NONCE, hello.session_id).encode())
        settings: dict[str, Any] = {
            "node_id": NODE_ID,
            "heartbeat_interval_ms": 50,
            "usage_segment_ms": 100,
            "proxy_servers": [],
        }
        await self.send("welcome", fixture_data("backend.welcome", **(settings | changes)))
        return hello

    async def desire(
        self, rev: int, *items: m.DesiredInstance, part: int = 1, parts: int = 1, frozen: bool = False
    ) -> None:
        self.rev = rev
        data = [item.model_dump(mode="json", exclude_none=True) for item in items]
        await self.send("desired", {"rev": rev, "part": part, "parts": parts, "frozen": frozen, "items": data})

    async def expect(self, model: type[T], matches: Callable[[T], object] = lambda _: True, limit_s: float = 30) -> T:
        """The first message of a kind that matches, of those heard already or to come."""

        def found() -> T | None:
            return next((item for item in self.heard if isinstance(item, model) and matches(item)), None)

        async with asyncio.timeout(limit_s), self._changed:
            await self._changed.wait_for(lambda: found() is not None or self.close_code is not None)
        message = found()
        assert message is not None, f"closed with {self.close_code} before any such {model.__name__}"
        return message

    async def phase(self, item: m.DesiredInstance, phase: str) -> m.InstanceReport:
        """The report that an instance has reached a phase at this generation."""
        return await self.expect(
            m.InstanceReport,
            lambda r: (r.placement_id, r.gen, r.phase) == (item.placement_id, item.gen, m.InstancePhase(phase)),
        )

    def all(self, model: type[T]) -> list[T]:
        return [item for item in self.heard if isinstance(item, model)]

    def reported(self) -> set[str]:
        """Placements that were reported, at once or with a beat."""
        in_beats = (report for beat in self.all(m.Heartbeat) for report in beat.instances)
        return {report.placement_id for report in (*self.all(m.InstanceReport), *in_beats)}

    def forget(self) -> None:
        """Later expectations are about what comes from now on."""
        self.heard.clear()

    async def closed(self) -> int:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.close_code is not None)
        assert self.close_code is not None
        return self.close_code

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._take(await self.socket.recv())
        async with self._changed:
            self.close_code = self.socket.close_code or 1006
            self._changed.notify_all()

    async def _take(self, text: str | bytes) -> None:
        assert isinstance(text, str)
        assert len(text.encode()) <= MAX_MESSAGE_BYTES
        envelope = json.loads(text)
        message = MODELS[envelope["event"]].model_validate_json(json.dumps(envelope["data"]), strict=True)
        async with self._changed:
            self.heard.append(message)
            self._changed.notify_all()
        if isinstance(message, m.Heartbeat) and self.acknowledges:
            usage = [segment.segment_id for segment in message.usage] if self.commits_usage else []
            await self.send(
                "heartbeat_ack",
                fixture_data(
                    "backend.heartbeat_ack",
                    seq=message.seq,
                    rev=self.rev,
                    usage_acked=usage,
                    run_until=self.run_until,
                ),
            )


class BackendDouble:
    """Hands each connection to the test."""

    def __init__(self) -> None:
        self._arrivals: asyncio.Queue[AgentSession] = asyncio.Queue()
        self._server: Server | None = None
        self.refuse_with: HTTPStatus | None = None
        self.attempts = 0
        self.port = 0
        self.authorization: str | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/agent/v1"

    async def start(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._check, compression=None, close_timeout=1
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def session(self) -> AgentSession:
        """The next connection."""
        async with asyncio.timeout(20):
            return await self._arrivals.get()

    async def welcomed(self, **changes: Any) -> AgentSession:
        """The next connection, after its handshake."""
        session = await self.session()
        await session.welcome(**changes)
        return session

    def has_arrivals(self) -> bool:
        return not self._arrivals.empty()

    def _check(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        self.authorization = request.headers.get("Authorization")
        if self.refuse_with is None:
            return None
        return _connection.respond(self.refuse_with, '{"code":"agent.host_key_invalid"}')

    async def _serve(self, socket: ServerConnection) -> None:
        session = AgentSession(socket)
        self._arrivals.put_nowait(session)
        await session.listen()


@contextlib.asynccontextmanager
async def running_backend() -> AsyncGenerator[BackendDouble]:
    backend = BackendDouble()
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()
