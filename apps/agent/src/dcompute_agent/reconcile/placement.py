"""One placement in memory: its record, and what is known of its container."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..clock import Clock
from ..journal import Journal, LocalEnd, Record
from ..protocol.models import InstancePhase, InstanceReport, InstanceSpec, RentalEndReason
from ..runtime.base import Container, ContainerState, Image
from .plan import SETTLED_PHASES


class Placement:
    """Changed by its worker and by what backend and engine say; every change of the record goes to the journal."""

    def __init__(self, record: Record, journal: Journal, clock: Clock) -> None:
        self.record = record
        self.containers: dict[str, Container] = {}
        self.uncertain = False
        self.image: tuple[str, Image] | None = None
        #: The backend has named the present generation since this process started.
        self.confirmed = False
        #: The record has a generation that may not be on disk yet: nothing may be done for it before it is (R1).
        self.unsynced = False
        self.spec_arrived = asyncio.Event()
        self._journal = journal
        self._clock = clock

    def save(self, record: Record) -> None:
        """Takes over a changed record and notes it in the journal."""
        self.record = record
        self._journal.put(record)

    def enter(self, phase: InstancePhase) -> bool:
        """Notes a phase and when it began; says whether it is a change."""
        if self.record.phase is phase:
            return False
        progress = self.record.pull_progress if phase is InstancePhase.PULLING else None
        began_ms = self._clock.boot_ms()
        self.save(replace(self.record, phase=phase, phase_boot_ms=began_ms, pull_progress=progress))
        return True

    def end(self, end: LocalEnd) -> None:
        """Ends the present generation by the agent's own decision."""
        self.save(replace(self.record, end=end))

    def end_of_program(self, exit_code: int | None, *, oom_killed: bool) -> None:
        """The instance ended by itself: only a higher generation starts it again."""
        self.save(replace(self.record, exit_code=exit_code, oom_killed=oom_killed))
        message = "out of memory" if oom_killed else f"exit code {exit_code}"
        self.end(LocalEnd(self.record.gen, InstancePhase.FAILED, RentalEndReason.INSTANCE_EXITED, message))

    def observe(self, containers: Iterable[Container]) -> None:
        """Takes over what the runtime says there is."""
        self.containers = {container.container_id: container for container in containers}
        self.uncertain = False

    def put_container(self, container: Container) -> None:
        """Takes over one container's new state."""
        self.containers[container.container_id] = container

    def drop_container(self, container_id: str) -> None:
        """The container is gone."""
        self.containers.pop(container_id, None)
        if self.record.container_id == container_id:
            self.save(replace(self.record, container_id=None, keys_sha=None))

    def running(self) -> Sequence[Container]:
        """The containers that run; more than one only while an incarnation replaces another."""
        return [c for c in self.containers.values() if c.state is ContainerState.RUNNING]

    @property
    def spec(self) -> InstanceSpec | None:
        """What fixes its container, if it is known."""
        return self._journal.spec(self.record.placement_id)

    @property
    def is_gone(self) -> bool:
        """Deleted, with nothing left but the record."""
        return self.record.phase is InstancePhase.DELETED and not self.containers and not self.uncertain

    def report(self) -> InstanceReport:
        """The instance as the backend sees it."""
        record = self.record
        ended = record.end is not None and record.end.gen >= record.gen
        end = record.end if ended and record.phase in SETTLED_PHASES | {InstancePhase.STOPPING} else None
        return InstanceReport(
            rental_id=record.rental_id,
            placement_id=record.placement_id,
            incarnation=record.incarnation,
            gen=record.gen,
            phase=record.phase,
            container_id=record.container_id,
            image_digest=record.image_digest,
            reason=end.reason if end else record.desired.reason,
            message=(end.message[:1000] or None) if end else None,
            exit_code=record.exit_code,
            oom_killed=record.oom_killed,
            pull_progress=record.pull_progress,
            phase_boot_ms=record.phase_boot_ms,
        )
