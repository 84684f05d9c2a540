"""What has to be done again and again while the agent runs, whether the backend is there or not."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from .assembly import Assembly
from .journal import JournalError
from .runtime.base import ContainerExited, RuntimeFault
from .tunnel.base import TunnelFault

log = logging.getLogger(__name__)

TICK_S = 0.2
#: Leftovers are looked for this often; after a round that failed the next one waits longer, up to the second value.
SWEEP_INTERVAL_S, SWEEP_RETRY_CAP_S = 0.5, 30.0
FIREWALL_INTERVAL_S = 10.0
REVIEW_INTERVAL_MS = 5_000
#: One round of upkeep, and one look at all containers (R9).
ROUND_LIMIT_S = 60.0
RESYNC_RETRY_S = 1.0


class Upkeep:
    """Deadlines, usage segments, leftovers, the firewall and the engine's events."""

    def __init__(self, parts: Assembly, on_firewall: Callable[[bool], Awaitable[None]]) -> None:
        self._parts = parts
        self._on_firewall = on_firewall
        self._cut_ms = self._reviewed_ms = parts.clock.boot_ms()
        #: Deadlines that the backend gave for single rentals, on the boot clock.
        self.run_until_ms: Mapping[str, int] = {}

    async def tick_for_ever(self) -> None:
        """Keeps deadlines and cuts segments to a fifth of a second, whatever the engine does meanwhile."""
        while True:
            await asyncio.sleep(TICK_S)
            self._keep_deadlines()

    async def sweep_for_ever(self) -> None:
        """Removes what nobody wants any more. What one of them cannot remove keeps no other from its turn."""
        failures = 0
        while True:
            await asyncio.sleep(min(SWEEP_RETRY_CAP_S, SWEEP_INTERVAL_S * 2**failures))
            done = [
                await _guarded("retire_workers", self._parts.executor.retire_workers),
                await _guarded("close_orphan_tunnels", self._parts.executor.close_orphan_tunnels),
                await _guarded("remove_unlisted", self._parts.desires.remove_unlisted),
            ]
            failures = 0 if all(done) else min(failures + 1, 8)

    async def watch_for_ever(self) -> None:
        """Follows what happens to containers; each time the watch begins, all is read anew."""
        events = self._parts.runtime.events()
        try:
            async for event in events:
                if isinstance(event, ContainerExited):
                    self._parts.executor.container_exited(event)
                else:
                    await self._resync()
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    async def hold_firewall_for_ever(self) -> None:
        """Other programs reload firewalls and wipe our rules: set them again, and say when they cannot be."""
        while True:
            await asyncio.sleep(FIREWALL_INTERVAL_S)
            await _guarded("firewall", self._hold_firewall)

    async def _resync(self) -> None:
        """Reads all containers anew, however long the engine takes to answer."""
        while True:
            if await _guarded("resync", self._parts.executor.resync):
                return
            await asyncio.sleep(RESYNC_RETRY_S)

    def _keep_deadlines(self) -> None:
        now_ms, memory = self._parts.clock.boot_ms(), self._parts.memory
        self._parts.executor.end_overdue(memory.offline_deadline_ms, self.run_until_ms)
        if now_ms - self._cut_ms >= memory.settings.usage_segment_ms:
            self._cut_ms = now_ms
            self._parts.executor.cut_segments()
        if now_ms - self._reviewed_ms >= REVIEW_INTERVAL_MS:
            self._reviewed_ms = now_ms
            self._parts.executor.review()

    async def _hold_firewall(self) -> None:
        await self._on_firewall(await self._parts.runtime.assert_firewall())


async def _guarded(name: str, work: Callable[[], Awaitable[None]]) -> bool:
    """Does one bounded round; what fails is logged and done again in the next."""
    try:
        async with asyncio.timeout(ROUND_LIMIT_S):
            await work()
    except (RuntimeFault, TunnelFault, JournalError, TimeoutError, OSError) as error:
        log.warning("upkeep_failed", extra={"work": name, "error": f"{type(error).__name__}: {error}"})
        return False
    return True
