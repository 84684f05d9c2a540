"""Puts heartbeats together, within the limits of a message."""

from collections.abc import Iterable, Iterator, Sequence

from ..clock import Clock
from ..inventory.metrics import MetricsReader
from ..journal import Journal
from ..memory import NodeMemory
from ..protocol.models import Heartbeat, InstancesPart, ReportedNodeStatus, UsageSegment
from ..reconcile.executor import Executor
from ..reconcile.placement import Placement
from ..tunnel.base import Tunnels
from .fitting import size_of, split, take
from .reports import Reports

#: Limits of shared-types' limits.ts.
MAX_INSTANCES, MAX_SEGMENTS, MAX_ACKS, MAX_PARTS = 200, 200, 200, 512
#: Shares of the 256 KiB of a message, so that the longest texts everywhere still fit.
INSTANCES_BYTES, SEGMENTS_BYTES, ACKS_BYTES = 80 * 1024, 80 * 1024, 32 * 1024
#: A segment that was sent and not acknowledged is sent again after this time.
RESEND_AFTER_MS = 20_000


class Beats:
    """The heartbeats of one session."""

    def __init__(
        self,
        *,
        session_id: str,
        executor: Executor,
        journal: Journal,
        memory: NodeMemory,
        tunnels: Tunnels,
        metrics: MetricsReader,
        reports: Reports,
        clock: Clock,
    ) -> None:
        self._session_id = session_id
        self._executor = executor
        self._journal = journal
        self._memory = memory
        self._tunnels = tunnels
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._seq = 0
        self._sent_segments: dict[str, int] = {}

    def full_set(self) -> Iterator[Heartbeat]:
        """All instances, in parts. Placements of which only the record is left are told when the backend names them."""
        present = [p for p in self._executor.placements.values() if not p.is_gone]
        parts = list(split(present, _report_size, max_count=MAX_INSTANCES, max_bytes=INSTANCES_BYTES))[:MAX_PARTS] or [
            []
        ]
        for number, placements in enumerate(parts, start=1):
            yield self._beat(placements, InstancesPart(part=number, parts=len(parts)))

    def next(self) -> Heartbeat:
        """The next beat, with what changed."""
        return self._beat(None, None)

    def acknowledged(self, seq: int, segment_ids: Iterable[str]) -> None:
        """The backend has taken beat `seq`, and has committed these segments."""
        self._reports.acknowledged(seq)
        committed = list(segment_ids)
        self._journal.drop_segments(committed)
        for segment_id in committed:
            self._sent_segments.pop(segment_id, None)

    def _beat(self, placements: Sequence[Placement] | None, part: InstancesPart | None) -> Heartbeat:
        self._seq += 1
        metrics, gpus = self._metrics.read()
        if placements is None:
            instances = self._reports.carry(self._seq, max_count=MAX_INSTANCES, max_bytes=INSTANCES_BYTES)
        else:
            instances = self._reports.carry_all(self._seq, placements)
        return Heartbeat(
            node_id=self._memory.node_id or "",
            status=self._status(),
            metrics=metrics,
            session_id=self._session_id,
            seq=self._seq,
            boot_id=self._clock.boot_id,
            boot_ms=self._clock.boot_ms(),
            rev_applied=self._journal.rev_applied,
            instances=list(instances),
            instances_part=part,
            gpus=gpus,
            tunnel=list(self._tunnels.states()),
            usage=self._segments(),
            acks=list(self._reports.take_acks(self._seq, max_count=MAX_ACKS, max_bytes=ACKS_BYTES)),
        )

    def _status(self) -> ReportedNodeStatus:
        if self._memory.draining or self._executor.gate.shutting_down:
            return ReportedNodeStatus.MAINTENANCE
        return ReportedNodeStatus.BUSY if self._executor.running_ids() else ReportedNodeStatus.ONLINE

    def _segments(self) -> list[UsageSegment]:
        now_ms = self._clock.boot_ms()
        due = (
            segment
            for segment in self._journal.segments.values()
            if now_ms - self._sent_segments.get(segment.segment_id, -RESEND_AFTER_MS) >= RESEND_AFTER_MS
            and not self._journal.is_being_written(segment.segment_id)
        )
        chosen = take(due, size_of, max_count=MAX_SEGMENTS, max_bytes=SEGMENTS_BYTES)
        self._sent_segments |= {segment.segment_id: now_ms for segment in chosen}
        return chosen


def _report_size(placement: Placement) -> int:
    return size_of(placement.report())
