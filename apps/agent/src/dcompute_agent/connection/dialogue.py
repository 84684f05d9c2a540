"""What is said in one session with the backend: every message that the agent understands, and its answer."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .. import AGENT_VERSION, PROTOCOL_VERSION
from ..clock import Clock
from ..identity import Identity
from ..inventory.metrics import MetricsReader
from ..journal import Journal, JournalError
from ..memory import NodeMemory, Settings
from ..protocol import models as m
from ..reconcile.desires import Desires, Verdict
from ..reconcile.executor import Executor
from ..tunnel.base import Tunnels
from ..wire import Malformed, UnknownEvent, hello_signing_text, parse_backend_message
from .backoff import CloseCode
from .beats import Beats
from .desired_parts import DesiredParts
from .outbox import Outbox
from .reports import Reports

log = logging.getLogger(__name__)

MAX_GENS = 1000
#: Like the backend: more malformed messages in a minute close the socket.
MAX_MALFORMED, MALFORMED_WINDOW_MS = 10, 60_000
MAX_ERROR_CHARACTERS = 1000


class SessionClosedError(Exception):
    """The agent ends the session, with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class OtherNodeError(Exception):
    """The backend takes this node for another, but what runs here carries the old id."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a dialogue works with."""

    node_name: str | None
    identity: Identity
    clock: Clock
    journal: Journal
    memory: NodeMemory
    executor: Executor
    desires: Desires
    tunnels: Tunnels
    metrics: MetricsReader
    reports: Reports
    specs: Callable[[], m.NodeSpecs]
    #: The node has an id; awaited before anything is done for it.
    on_enrolled: Callable[[], Awaitable[None]]
    on_welcome: Callable[[m.Welcome], None]
    #: Deadlines that the backend gave for single rentals, on the boot clock.
    on_run_until: Callable[[Mapping[str, int]], None]
    on_desired: Callable[[], None]


class Dialogue:
    """One session's state. `hello`, then `begin`, then `hear` for each message."""

    def __init__(self, node: NodeParts, session_id: str, outbox: Outbox) -> None:
        self._node = node
        self._session_id = session_id
        self._outbox = outbox
        self._parts = DesiredParts()
        self._malformed_ms: list[int] = []
        self._held_rev: int | None = None
        self.unknown_events = 0
        self.beats = Beats(
            session_id=session_id,
            executor=node.executor,
            journal=node.journal,
            memory=node.memory,
            tunnels=node.tunnels,
            metrics=node.metrics,
            reports=node.reports,
            clock=node.clock,
        )
        self._handlers: Mapping[type[BaseModel], Callable[[Any], Awaitable[None]]] = {
            m.Desired: self._hear_desired,
            m.HeartbeatAck: self._hear_ack,
            m.StartInstance: self._hear_start,
            m.StopInstance: self._hear_stop,
            m.UpdateSshKeys: self._hear_keys,
            m.Spec: self._hear_spec,
            m.DrainNode: self._hear_drain,
            m.OpenStream: self._hear_stream,
            m.ProtocolError: self._hear_error,
            m.Challenge: self._hear_out_of_place,
            m.Welcome: self._hear_out_of_place,
        }

    def hello(self, challenge: m.Challenge) -> m.Hello:
        """The first message: who this node is, signed over the challenge."""
        node = self._node
        return m.Hello(
            agent_version=AGENT_VERSION,
            protocol_version=PROTOCOL_VERSION,
            node_name=node.node_name,
            specs=node.specs(),
            boot_id=node.clock.boot_id,
            boot_ms=node.clock.boot_ms(),
            session_id=self._session_id,
            public_key=node.identity.public_key,
            signature=node.identity.sign(hello_signing_text(challenge.nonce, self._session_id)),
            rev_applied=node.journal.rev_applied,
            gens=self._gens(),
        )

    async def begin(self, welcome: m.Welcome) -> None:
        """The backend let us in. Raises OtherNodeError, JournalError, RuntimeFault."""
        memory = self._node.memory
        known = memory.node_id
        if known is not None and known != welcome.node_id:
            raise OtherNodeError(f"this node is {known}; the backend takes it for {welcome.node_id}")
        memory.enrol(welcome.node_id)
        memory.take_settings(Settings.of(welcome))
        memory.note_contact()
        # Said anew in each session where it is so.
        memory.draining = False
        if welcome.frozen:
            # The opposite is said by a list only: it is what lifts a freeze.
            self._node.desires.freeze(frozen=True)
        await self._node.journal.durable()
        await self._node.on_enrolled()
        self._node.on_welcome(welcome)

    async def hear(self, text: str | bytes) -> None:
        """Takes one message. Raises SessionClosedError."""
        message = Malformed("a message must be text") if isinstance(text, bytes) else parse_backend_message(text)
        if isinstance(message, UnknownEvent):
            self.unknown_events += 1
            log.info("unknown_event", extra={"event_name": message.event[:64], "count": self.unknown_events})
        elif isinstance(message, Malformed):
            self._refuse(message.problem)
        else:
            await self._handle(message)

    async def _handle(self, message: BaseModel) -> None:
        try:
            await self._handlers[type(message)](message)
        except JournalError as error:
            # Nothing was promised: the desired list is repeated until it can be taken over.
            log.error("journal_unwritable", extra={"error": str(error)})  # noqa: TRY400 -- the trace says no more

    def _gens(self) -> list[m.PlacementGen]:
        """The highest generations seen: of what is there, and of what was there last, but not of the disowned."""
        disowned = self._node.memory.disowned
        placements = [p for p in self._node.executor.placements.values() if p.record.placement_id not in disowned]
        present = [p.record for p in placements if not p.is_gone]
        gone = [p.record for p in placements if p.is_gone]
        newest = [*present, *reversed(gone)][:MAX_GENS]
        return [m.PlacementGen(placement_id=record.placement_id, gen=record.gen) for record in newest]

    async def _hear_desired(self, desired: m.Desired) -> None:
        try:
            full = self._parts.add(desired)
        except ValueError as error:
            self._refuse(str(error))
            return
        if full is None:
            return
        outcome = await self._node.desires.take_list(full.rev, full.items, frozen=full.frozen)
        if outcome.held and self._held_rev != full.rev:
            self._held_rev = full.rev
            log.error("mass_stop_held", extra={"rev": full.rev, "placements": list(outcome.held)})
            text = f"list {full.rev} would stop {len(outcome.held)} instances without a reason"
            self._say_error(m.AgentErrorCode.AGENT_MASS_STOP_HELD, text)
        self._node.on_desired()

    async def _hear_ack(self, ack: m.HeartbeatAck) -> None:
        node = self._node
        node.memory.note_contact()
        self.beats.acknowledged(ack.seq, ack.usage_acked)
        now_ms = node.clock.boot_ms()
        node.on_run_until({item.rental_id: now_ms + item.remaining_ms for item in ack.run_until})

    async def _hear_start(self, start: m.StartInstance) -> None:
        if start.instance is None or start.spec is None:
            # The specification's bare form names no generation: the desired list will.
            self._answer(start.cmd_id, start.rental_id, _incomplete("a start must carry instance and spec"))
            return
        verdict = await self._node.desires.take_start(start.instance, start.spec)
        self._node.reports.spec_came(start.instance.placement_id)
        self._answer(start.cmd_id, start.rental_id, verdict)

    async def _hear_stop(self, stop: m.StopInstance) -> None:
        verdict = await self._node.desires.take_stop(stop)
        self._answer(stop.cmd_id, stop.rental_id, verdict)

    async def _hear_keys(self, update: m.UpdateSshKeys) -> None:
        verdict = await self._node.desires.take_keys(update)
        self._answer(update.cmd_id, update.rental_id, verdict)

    async def _hear_spec(self, spec: m.Spec) -> None:
        if spec.spec.spec_sha != spec.spec_sha or not self._node.desires.take_spec(spec.placement_id, spec.spec):
            self._refuse(f"spec: not what {spec.spec_sha} names")
            return
        self._node.reports.spec_came(spec.placement_id)

    async def _hear_drain(self, drain: m.DrainNode) -> None:
        """Answered by the status of the next beat: an ack belongs to a rental."""
        draining = drain.mode is m.DrainMode.NO_NEW
        log.info("drain", extra={"draining": draining, "reason": drain.reason})
        self._node.memory.draining = draining
        self._node.on_desired()

    async def _hear_stream(self, stream: m.OpenStream) -> None:
        log.info("stream_not_supported", extra={"stream": stream.id, "kind": stream.kind.value})

    async def _hear_error(self, error: m.ProtocolError) -> None:
        log.warning("backend_error", extra={"code": error.code.value, "error": error.message})

    async def _hear_out_of_place(self, message: m.Challenge | m.Welcome) -> None:
        self._refuse(f"{type(message).__name__.lower()}: out of place")

    def _answer(self, cmd_id: str | None, rental_id: str, verdict: Verdict) -> None:
        if cmd_id is not None:
            ack = m.Ack(
                cmd_id=cmd_id, rental_id=rental_id, gen=verdict.gen, result=verdict.result, message=verdict.message
            )
            self._node.reports.answer(ack)
        elif verdict.result is m.CommandResult.REJECTED:
            log.info("hint_ignored", extra={"rental": rental_id, "reason": verdict.message})

    def _refuse(self, problem: str) -> None:
        """Answers a malformed message; a peer that sends nothing else is left."""
        now_ms = self._node.clock.boot_ms()
        self._malformed_ms = [at for at in self._malformed_ms if now_ms - at < MALFORMED_WINDOW_MS] + [now_ms]
        log.warning("malformed_message", extra={"problem": problem})
        if len(self._malformed_ms) > MAX_MALFORMED:
            raise SessionClosedError(CloseCode.POLICY_VIOLATION, "too many malformed messages")
        self._say_error(m.AgentErrorCode.AGENT_MALFORMED_MESSAGE, problem)

    def _say_error(self, code: m.AgentErrorCode, text: str) -> None:
        self._outbox.offer(m.ProtocolError(code=code, message=text[:MAX_ERROR_CHARACTERS]))


def _incomplete(message: str) -> Verdict:
    return Verdict(m.CommandResult.REJECTED, 0, message)
