"""All placements of the node: their workers, and what happens to them from outside."""

import asyncio
import logging
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ..clock import Clock
from ..journal import LocalEnd, Record
from ..protocol.models import DesiredState, InstancePhase, InstanceSpec, RentalEndReason
from ..runtime.base import Container, ContainerExited, ContainerState
from .handlers import Tools
from .placement import Placement
from .plan import Gate, ends_at, orphan_tunnels, unknown_containers, wanted_state
from .worker import Worker

log = logging.getLogger(__name__)


class Executor:
    """Owns the placements; nobody else changes them."""

    def __init__(self, tools: Tools, clock: Clock, rng: random.Random) -> None:
        self._tools = tools
        self._clock = clock
        self._rng = rng
        self._placements: dict[str, Placement] = {}
        self._workers: dict[str, Worker] = {}
        self._strays: dict[str, Container] = {}
        self.gate = Gate()

    async def load(self) -> None:
        """Adopts what runs: by the journal and by the labels of the containers."""
        for record in self._tools.journal.records.values():
            self._add(record)
        await self.resync()

    async def close(self) -> None:
        """Ends all workers; instances and tunnels stay as they are."""
        await asyncio.gather(*(worker.close() for worker in self._workers.values()))

    @property
    def placements(self) -> Mapping[str, Placement]:
        """Every placement that is known here."""
        return self._placements

    @property
    def strays(self) -> Sequence[Container]:
        """Containers with our label that no placement of the journal explains."""
        return list(self._strays.values())

    def set_gate(self, gate: Gate) -> None:
        """Changes what holds for all placements."""
        if gate != self.gate:
            self.gate = gate
            self._wake_all()

    def apply(self, record: Record, *, confirmed: bool) -> Placement:
        """Takes over a record with a new generation. The caller waits for the journal before it says so to anyone."""
        placement = self._placements.get(record.placement_id)
        if placement is None:
            placement = self._add(record)
            placement.observe(c for c in self._strays.values() if c.rental_id == record.rental_id)
            for container_id in placement.containers:
                del self._strays[container_id]
        placement.save(record)
        placement.unsynced = True
        placement.confirmed |= confirmed
        self._worker(placement).supersede()
        return placement

    def confirm(self, placement_id: str) -> None:
        """The backend named the generation that is known already."""
        placement = self._placements[placement_id]
        if not placement.confirmed:
            placement.confirmed = True
            self._worker(placement).wake()

    def put_spec(self, placement_id: str, spec: InstanceSpec) -> None:
        """Takes over a spec that the backend sent."""
        placement = self._placements.get(placement_id)
        known = self._tools.journal.spec(placement_id)
        if placement is None:
            return
        if known != spec:
            self._tools.journal.put_spec(placement_id, spec)
        placement.spec_arrived.set()
        self._worker(placement).wake()

    def end_locally(self, placement: Placement, reason: RentalEndReason) -> None:
        """Stops an instance by the node's own decision."""
        placement.end(LocalEnd(placement.record.gen, InstancePhase.STOPPED, reason))
        self._worker(placement).supersede()

    def forget_shutdown(self, placement_id: str) -> None:
        """The node is back: an instance that only its shutdown stopped may run again."""
        placement = self._placements[placement_id]
        end = placement.record.end
        if end is None or end.reason is not RentalEndReason.NODE_SHUTDOWN or self.gate.shutting_down:
            return
        placement.save(
            replace(placement.record, end=None, phase=InstancePhase.SCHEDULED, phase_boot_ms=self._clock.boot_ms())
        )
        self._worker(placement).supersede()

    def report(self, placement_id: str) -> None:
        """Says once more how a placement is."""
        self._tools.report(self._placements[placement_id])

    def end_overdue(self, offline_deadline_ms: int, run_until_ms: Mapping[str, int]) -> None:
        """Stops what has outlived its time limit, or the time that it may run without the backend (R10).

        `run_until_ms`: deadlines that the backend gave for single rentals. All on the boot clock.
        """
        for placement in self._placements.values():
            end = ends_at(
                placement.record,
                offline_deadline_ms=min(
                    offline_deadline_ms, run_until_ms.get(placement.record.rental_id, offline_deadline_ms)
                ),
                boot_id=self._clock.boot_id,
                now_ms=self._clock.boot_ms(),
            )
            if end is not None and (placement.running() or self._worker(placement).is_busy):
                self.end_locally(placement, end.reason)

    async def retire_workers(self) -> None:
        """Ends the workers of deleted placements; their records stay as tombstones."""
        done = [p.record.placement_id for p in self._placements.values() if p.is_gone]
        retired = [self._workers.pop(placement_id) for placement_id in done if placement_id in self._workers]
        await asyncio.gather(*(worker.close() for worker in retired))

    def container_exited(self, event: ContainerExited) -> None:
        """The end of a container that was watched: metered to this moment; unasked for, its instance has failed."""
        for placement in self._placements.values():
            container = placement.containers.get(event.container_id)
            if container is None:
                continue
            if _is_end_of_known_run(container, event):
                self._instance_exited(placement, container, event)
            elif self._worker(placement).is_busy:
                # The running step will know a run that we do not know yet, and this may have been its end.
                placement.uncertain = True
            return

    def _instance_exited(self, placement: Placement, container: Container, event: ContainerExited) -> None:
        placement.put_container(container.exited(event.exit_code, oom_killed=event.oom_killed))
        record = self._tools.meter.finish(placement.record, event.container_id)
        if record.container_id == event.container_id:
            record = replace(record, exit_code=event.exit_code, oom_killed=event.oom_killed)
        placement.save(record)
        is_wanted = wanted_state(record, self.gate) is DesiredState.RUNNING
        if not is_wanted or record.container_id != event.container_id or record.incarnation != container.incarnation:
            self._worker(placement).wake()
            return
        placement.end_of_program(event.exit_code, oom_killed=event.oom_killed)
        self._worker(placement).supersede()

    async def resync(self) -> None:
        """Reads all containers anew. A run whose end nobody saw is closed where its last segment ended."""
        containers = await self._tools.runtime.list_containers()
        by_rental: dict[str, list[Container]] = {}
        for container in containers:
            by_rental.setdefault(container.rental_id, []).append(container)
        rentals = {placement.record.rental_id for placement in self._placements.values()}
        self._strays = {c.container_id: c for c in unknown_containers(containers, rentals)}
        for placement in self._placements.values():
            if placement.is_gone and placement.record.rental_id not in by_rental:
                continue
            worker = self._worker(placement)
            if worker.is_busy:
                placement.uncertain = True
            else:
                found = by_rental.get(placement.record.rental_id, [])
                placement.observe(found)
                placement.save(self._tools.meter.follow(placement.record, found))
            worker.wake()

    async def remove_stray(self, container: Container) -> None:
        """Removes a container that nobody explains."""
        log.warning(
            "stray_container_removed", extra={"container": container.container_id, "rental": container.rental_id}
        )
        await self._tools.runtime.remove(container)
        self._strays.pop(container.container_id, None)

    def review(self) -> None:
        """Has all plans made again: a tunnel can be lost without a word, with its frpc or its proxy server."""
        for worker in self._workers.values():
            worker.review()

    async def stop_strays(self, grace_s: int) -> None:
        """Stops containers that nobody explains; they stay for their grace. Raises RuntimeFault."""
        running = [stray for stray in self._strays.values() if stray.state is ContainerState.RUNNING]
        for stopped in await asyncio.gather(*(self._tools.runtime.stop(stray, grace_s) for stray in running)):
            self._strays[stopped.container_id] = stopped

    async def close_orphan_tunnels(self) -> None:
        """Closes tunnels that no placement wants any more."""
        names = orphan_tunnels(self._tools.tunnels.opened(), [p.record for p in self._placements.values()])
        if names:
            await self._tools.tunnels.close(names)

    def cut_segments(self) -> None:
        """Writes the running time of every instance since its last segment."""
        for placement in self._placements.values():
            if placement.record.meter is not None:
                placement.save(self._tools.meter.cut(placement.record))

    async def settled(self, placement_ids: Iterable[str]) -> None:
        """Returns when nothing is left to do for these placements."""
        await asyncio.gather(*(self._worker(self._placements[p]).settled() for p in placement_ids))

    def running_ids(self) -> Collection[str]:
        """Placements with a running container."""
        return [placement_id for placement_id, placement in self._placements.items() if placement.running()]

    def _add(self, record: Record) -> Placement:
        placement = Placement(record, self._tools.journal, self._clock)
        self._placements[record.placement_id] = placement
        return placement

    def _worker(self, placement: Placement) -> Worker:
        placement_id = placement.record.placement_id
        worker = self._workers.get(placement_id)
        if worker is None:
            worker = Worker(placement, self._tools, lambda: self.gate, self._rng)
            self._workers[placement_id] = worker
        return worker

    def _wake_all(self) -> None:
        for worker in self._workers.values():
            worker.wake()


def _is_end_of_known_run(container: Container, event: ContainerExited) -> bool:
    """Our own stop comes back as news too, perhaps after the next start."""
    is_running = container.state is ContainerState.RUNNING
    return is_running and event.started_token in ("", container.started_token)
