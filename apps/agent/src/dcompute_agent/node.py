"""The node: everything that an agent does between its start and its end."""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from . import AGENT_VERSION
from .assembly import Assembly
from .connection.dialogue import Dialogue, NodeParts
from .connection.link import Link, LinkState
from .connection.outbox import Outbox
from .control import ControlError, ControlServer
from .inventory.metrics import MetricsReader
from .inventory.specs import offerable_disk_gib, read_specs
from .journal import JournalError
from .protocol.models import NodeSpecs, Welcome
from .reconcile.plan import Gate
from .runtime.base import EngineFacts, RuntimeFault
from .shutdown import leave_nothing_behind, stop_instances
from .upkeep import Upkeep

log = logging.getLogger(__name__)

ENGINE_LIMIT_S = 30.0
ENGINE_RETRY_S = 2.0
#: After `down`: how long the backend may take to acknowledge the last words.
LAST_WORDS_LIMIT_S = 5.0
LAST_WORDS_PAUSE_S = 0.25


class Node:
    """One agent. `run` returns after `stop` or `take_down`; instances outlive the first, not the second."""

    def __init__(self, parts: Assembly) -> None:
        self._parts = parts
        self._engine: EngineFacts | None = None
        self._problem: str | None = None
        self._is_up = False
        self._loaded_with_id = False
        self._enrolled = asyncio.Event()
        self._welcome: Welcome | None = None
        self._welcomed = asyncio.Event()
        self._stopping = asyncio.Event()
        #: Set by each acknowledged heartbeat.
        self._heard = asyncio.Event()
        self._upkeep = Upkeep(parts, self._note_firewall)
        self._link = Link(
            url=parts.config.backend_url,
            host_key=parts.config.host_key,
            make_dialogue=self._make_dialogue,
            reports=parts.reports,
            on_session_end=parts.unlisted.forget_list,
            clock=parts.clock,
            rng=parts.rng,
        )
        self._metrics: MetricsReader | None = None

    @property
    def connection(self) -> LinkState:
        """How the connection to the backend stands."""
        return self._link.state

    def stop(self) -> None:
        """Asks the agent to end; instances and tunnels live on."""
        self._stopping.set()

    async def run(self) -> None:
        """Runs until it is asked to end. Its caller holds the lock of the state directory."""
        control = ControlServer(self._parts.config.state_dir, {"status": self.status, "down": self.take_down})
        try:
            await control.open()
            await self._serve()
        finally:
            await control.close()
            await self._close()

    async def status(self) -> Mapping[str, object]:
        """How the agent does. Raises ControlError while it is not up."""
        if not self._is_up:
            raise ControlError(f"the agent is starting: {self._problem or 'it adopts what runs'}")
        parts = self._parts
        return {
            "version": AGENT_VERSION,
            "pid": os.getpid(),
            "node_id": parts.memory.node_id,
            "backend_url": parts.config.backend_url,
            "connection": self.connection.value,
            "problem": self._link.problem,
            "rev_applied": parts.journal.rev_applied,
            "frozen": parts.memory.frozen,
            "draining": parts.memory.draining,
            "running_instances": len(parts.executor.running_ids()),
            "unsent_usage_segments": len(parts.journal.segments),
            "tunnels": [state.model_dump(exclude_none=True) for state in parts.tunnels.states()],
        }

    async def take_down(self) -> Mapping[str, object]:
        """Stops all instances, ends frpc, and then the agent. Raises ControlError; then the agent goes on."""
        if not self._is_up:
            raise ControlError("the agent is starting: nothing was stopped")
        stopped = await stop_instances(self._parts)
        await self._say_last_words()
        await leave_nothing_behind(self._parts)
        self._stopping.set()
        return {"stopped": stopped}

    async def _serve(self) -> None:
        """Works until it is told to stop; a defect in any part ends the agent, for its supervisor to see."""
        work = asyncio.create_task(self._load_and_work(), name="node")
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.wait((work, stop))

    async def _load_and_work(self) -> None:
        parts = self._parts
        await asyncio.gather(parts.tunnels.load(), self._reach_engine())
        parts.executor.set_gate(Gate(frozen=parts.memory.frozen))
        await self._adopt()
        self._is_up = True
        log.info("agent_up", extra={"node": parts.memory.node_id, "version": AGENT_VERSION})
        if parts.memory.node_id is not None:
            self._enrolled.set()
        async with asyncio.TaskGroup() as tasks:
            for loop in (
                self._link.run(),
                self._watch_engine(),
                self._configure_tunnels(),
                self._upkeep.tick_for_ever(),
                self._upkeep.sweep_for_ever(),
                self._upkeep.hold_firewall_for_ever(),
            ):
                tasks.create_task(loop)

    async def _reach_engine(self) -> None:
        """Without its engine the node is nothing: waits for it, as it may start later than we do."""
        while True:
            try:
                async with asyncio.timeout(ENGINE_LIMIT_S):
                    self._loaded_with_id = self._parts.memory.node_id is not None
                    self._engine = await self._parts.runtime.load()
            except (RuntimeFault, TimeoutError) as error:
                self._problem = f"the container engine cannot be used: {error or 'no answer in time'}"
                log.warning("engine_unavailable", extra={"error": self._problem})
                await asyncio.sleep(ENGINE_RETRY_S)
            else:
                self._problem = None
                self._metrics = MetricsReader(self._parts.gpus, Path(self._engine.data_root))
                return

    async def _adopt(self) -> None:
        """Takes over what runs; an engine that goes away meanwhile is waited for."""
        look = self._parts.executor.load
        while True:
            try:
                async with asyncio.timeout(ENGINE_LIMIT_S):
                    await look()
            except (RuntimeFault, TimeoutError) as error:
                self._problem = f"containers cannot be listed: {error or 'no answer in time'}"
                log.warning("adoption_failed", extra={"error": self._problem})
                await asyncio.sleep(ENGINE_RETRY_S)
                look = self._parts.executor.resync
            else:
                self._problem = None
                return

    async def _watch_engine(self) -> None:
        # Containers are told apart by the node's id.
        await self._enrolled.wait()
        await self._upkeep.watch_for_ever()

    async def _configure_tunnels(self) -> None:
        """Follows the proxy servers of the newest welcome; slow ones hold up neither the session nor each other."""
        while True:
            await self._welcomed.wait()
            self._welcomed.clear()
            if self._welcome is not None:
                await self._parts.tunnels.configure(self._welcome.node_id, self._welcome.proxy_servers)
                self._link.beat_soon()

    async def _note_enrolled(self) -> None:
        """The engine is prepared for the id that the backend gave. Raises RuntimeFault."""
        if not self._loaded_with_id:
            async with asyncio.timeout(ENGINE_LIMIT_S):
                self._engine = await self._parts.runtime.load()
            self._loaded_with_id = True
        self._enrolled.set()

    def _note_welcome(self, welcome: Welcome) -> None:
        self._welcome = welcome
        self._welcomed.set()

    def _note_run_until(self, deadlines_ms: Mapping[str, int]) -> None:
        self._upkeep.run_until_ms = deadlines_ms
        self._heard.set()

    async def _note_firewall(self, stands: bool) -> None:
        """A node whose firewall changed is worth another hello: it decides who may rent it."""
        if self._engine is not None and self._engine.firewall != stands:
            log.warning("firewall_changed", extra={"stands": stands})
            self._engine = replace(self._engine, firewall=stands)
            await self._link.renew("the firewall changed")

    def _make_dialogue(self, session_id: str, outbox: Outbox) -> Dialogue:
        parts = self._parts
        if self._metrics is None:
            raise RuntimeError("the engine was not loaded")
        node = NodeParts(
            node_name=parts.config.node_name,
            identity=parts.identity,
            clock=parts.clock,
            journal=parts.journal,
            memory=parts.memory,
            executor=parts.executor,
            desires=parts.desires,
            tunnels=parts.tunnels,
            metrics=self._metrics,
            reports=parts.reports,
            specs=self._specs,
            on_enrolled=self._note_enrolled,
            on_welcome=self._note_welcome,
            on_run_until=self._note_run_until,
            on_desired=self._link.beat_soon,
        )
        return Dialogue(node, session_id, outbox)

    def _specs(self) -> NodeSpecs:
        parts = self._parts
        if self._engine is None:
            raise RuntimeError("the engine was not loaded")
        disk_gib = parts.memory.disk_gib
        if disk_gib is None or not any(p.containers for p in parts.executor.placements.values()):
            disk_gib = offerable_disk_gib(Path(self._engine.data_root))
            parts.memory.disk_gib = disk_gib
        return read_specs(self._engine, parts.gpus, disk_gib=disk_gib)

    async def _say_last_words(self) -> None:
        """Gives the backend the end of every instance and the last segments; what it misses comes after the return."""
        parts = self._parts
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_LIMIT_S):
                while self._link.state is LinkState.CONNECTED:
                    if parts.reports.all_heard and not parts.journal.segments:
                        return
                    self._heard.clear()
                    self._link.beat_soon()
                    await self._heard.wait()
                    # An answer comes at once, the commit that it waits for does not.
                    await asyncio.sleep(LAST_WORDS_PAUSE_S)

    async def _close(self) -> None:
        """Lets go of everything; instances and tunnels stay as they are."""
        parts = self._parts
        parts.executor.cut_segments()
        await parts.executor.close()
        await parts.tunnels.detach()
        await parts.runtime.close()
        try:
            await parts.journal.close()
        except JournalError as error:
            log.error("journal_unwritable", extra={"error": str(error)})  # noqa: TRY400 -- the trace says no more
