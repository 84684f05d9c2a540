"""Cuts the running time of containers into signed segments, on the boot clock."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..clock import Clock
from ..identity import Identity
from ..journal import Journal, MeterRun, Record
from ..protocol.models import UsageSegment
from ..runtime.base import Container, ContainerState
from ..wire import canonical_json


def sign_segment(unsigned: dict[str, str | int], identity: Identity) -> UsageSegment:
    """A segment with the node's signature over the canonical JSON of its other fields."""
    return UsageSegment.model_validate({**unsigned, "signature": identity.sign(canonical_json(unsigned))})


class Meter:
    """Segments of one container never overlap; each goes to the journal before it is sent.

    A run continues over a restart of the agent when container, start time and boot are the same: it cannot have been
    interrupted. Any other run that was not seen to end is closed where its last segment ended.
    """

    def __init__(self, journal: Journal, clock: Clock, identity: Identity, node_id: Callable[[], str | None]) -> None:
        self._journal = journal
        self._clock = clock
        self._identity = identity
        self._node_id = node_id

    def follow(self, record: Record, containers: Iterable[Container]) -> Record:
        """The record with the run that fits what runs now: continued, dropped or begun at this moment."""
        running = {c.container_id: c for c in containers if c.state is ContainerState.RUNNING}
        meter = record.meter
        if meter is not None and not self._continues(meter, running.get(meter.container_id)):
            record, meter = replace(record, meter=None), None
        served = running.get(record.container_id or "")
        if meter is None and served is not None:
            run = MeterRun(served.container_id, served.started_token, self._clock.boot_id, self._clock.boot_ms())
            record = replace(record, meter=run)
        return record

    def cut(self, record: Record) -> Record:
        """Writes the running time since the last segment, if there is any."""
        meter, node_id, now_ms = record.meter, self._node_id(), self._clock.boot_ms()
        if meter is None or node_id is None or now_ms <= meter.metered_to_ms or meter.boot_id != self._clock.boot_id:
            return record
        unsigned: dict[str, str | int] = {
            "segment_id": f"{record.placement_id}:{record.incarnation}:{meter.boot_id}:{record.next_segment}",
            "node_id": node_id,
            "rental_id": record.rental_id,
            "placement_id": record.placement_id,
            "incarnation": record.incarnation,
            "container_id": meter.container_id,
            "boot_id": meter.boot_id,
            "n": record.next_segment,
            "from_ms": meter.metered_to_ms,
            "to_ms": now_ms,
        }
        self._journal.add_segment(sign_segment(unsigned, self._identity))
        return replace(record, meter=replace(meter, metered_to_ms=now_ms), next_segment=record.next_segment + 1)

    def finish(self, record: Record, container_id: str) -> Record:
        """Writes the last segment of a container whose end was just seen."""
        if record.meter is None or record.meter.container_id != container_id:
            return record
        return replace(self.cut(record), meter=None)

    def _continues(self, meter: MeterRun, container: Container | None) -> bool:
        return (
            container is not None
            and container.started_token == meter.started_token
            and meter.boot_id == self._clock.boot_id
        )
