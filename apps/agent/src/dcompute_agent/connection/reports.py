"""What the backend has not heard yet: changes of instances, answers to hints."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from ..clock import Clock
from ..protocol.models import Ack, GetSpec, InstancePhase, InstanceReport
from ..reconcile.placement import Placement
from .fitting import size_of, take
from .outbox import Outbox

#: Pull progress of one instance is said at most this often.
PROGRESS_INTERVAL_MS = 250
MAX_DEFERRED_ACKS = 1000


class Reports:
    """Says each change of phase at once, and repeats every change in heartbeats until one is acknowledged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._outbox: Outbox | None = None
        self._version = 0
        self._placements: dict[str, Placement] = {}
        #: Placement id -> version of its last change that no acknowledged beat has carried.
        self._unacked: dict[str, int] = {}
        self._carried: deque[tuple[int, dict[str, int]]] = deque()
        self._said: dict[str, tuple[tuple[object, ...], int]] = {}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._requests: dict[str, GetSpec] = {}
        #: Those of them that this session has not asked yet.
        self._unasked: dict[str, GetSpec] = {}
        self._carried_acks: deque[tuple[int, Sequence[Ack]]] = deque()
        self._acks: deque[Ack] = deque(maxlen=MAX_DEFERRED_ACKS)

    def attach(self, outbox: Outbox) -> None:
        """A session began; the full set that it starts with says everything up to now."""
        self._outbox = outbox
        while self._carried_acks:
            self._acks.extendleft(reversed(self._carried_acks.pop()[1]))
        self._unasked = dict(self._requests)
        self._ask()
        self._carried.clear()
        self._said.clear()

    def detach(self) -> None:
        """The session ended: changes wait for the next one."""
        self._outbox = None
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()

    def note(self, placement: Placement) -> None:
        """A placement changed."""
        placement_id = placement.record.placement_id
        self._version += 1
        self._placements[placement_id] = placement
        self._unacked[placement_id] = self._version
        if self._outbox is not None:
            self._say(self._outbox, placement)

    def request_spec(self, placement_id: str, spec_sha: str) -> None:
        """Asks the backend for a spec: now, and again in each later session until it came."""
        request = GetSpec(placement_id=placement_id, spec_sha=spec_sha)
        self._requests[placement_id] = self._unasked[placement_id] = request
        self._ask()

    def spec_came(self, placement_id: str) -> None:
        """The spec of a placement is known."""
        self._requests.pop(placement_id, None)
        self._unasked.pop(placement_id, None)

    @property
    def all_heard(self) -> bool:
        """The backend has acknowledged every change."""
        return not self._unacked

    def answer(self, ack: Ack) -> None:
        """Answers a hint: at once, or with the next heartbeat."""
        if self._outbox is None or not self._outbox.offer(ack):
            self._acks.append(ack)

    def carry(self, seq: int, *, max_count: int, max_bytes: int) -> Sequence[InstanceReport]:
        """The changes for beat `seq`. With each beat there may be room for requests again."""
        self._ask()
        reports = (self._placements[placement_id].report() for placement_id in self._unacked)
        chosen = take(reports, size_of, max_count=max_count, max_bytes=max_bytes)
        self._carried.append((seq, {r.placement_id: self._unacked[r.placement_id] for r in chosen}))
        return chosen

    def carry_all(self, seq: int, placements: Iterable[Placement]) -> Sequence[InstanceReport]:
        """A part of the full set for beat `seq`."""
        chosen = list(placements)
        versions = ((p.record.placement_id, self._unacked.get(p.record.placement_id)) for p in chosen)
        self._carried.append((seq, {name: version for name, version in versions if version is not None}))
        return [placement.report() for placement in chosen]

    def take_acks(self, seq: int, *, max_count: int, max_bytes: int) -> Sequence[Ack]:
        """Answers that found no other way, for beat `seq`."""
        chosen = take(self._acks, size_of, max_count=max_count, max_bytes=max_bytes)
        for _ in chosen:
            self._acks.popleft()
        if chosen:
            self._carried_acks.append((seq, chosen))
        return chosen

    def acknowledged(self, seq: int) -> None:
        """The backend has heard beat `seq`, and all before it: one socket keeps the order."""
        while self._carried_acks and self._carried_acks[0][0] <= seq:
            self._carried_acks.popleft()
        while self._carried and self._carried[0][0] <= seq:
            _, versions = self._carried.popleft()
            for placement_id, version in versions.items():
                if self._unacked.get(placement_id) == version:
                    del self._unacked[placement_id]
                    self._placements.pop(placement_id, None)

    def _ask(self) -> None:
        while self._unasked and self._outbox is not None:
            placement_id, request = next(iter(self._unasked.items()))
            if not self._outbox.offer(request):
                return
            del self._unasked[placement_id]

    def _say(self, outbox: Outbox, placement: Placement) -> None:
        report = placement.report()
        placement_id, now_ms = report.placement_id, self._clock.boot_ms()
        said, said_ms = self._said.get(placement_id, ((), 0))
        if report.phase is InstancePhase.PULLING and said == _essence(report):
            wait_ms = said_ms + PROGRESS_INTERVAL_MS - now_ms
            if wait_ms > 0:
                self._say_later(outbox, placement, wait_ms)
                return
        timer = self._delayed.pop(placement_id, None)
        if timer is not None:
            timer.cancel()
        if outbox.offer(report):
            self._said[placement_id] = (_essence(report), now_ms)

    def _say_later(self, outbox: Outbox, placement: Placement, wait_ms: int) -> None:
        placement_id = placement.record.placement_id
        if placement_id in self._delayed:
            return

        def say() -> None:
            del self._delayed[placement_id]
            self._say(outbox, placement)

        self._delayed[placement_id] = asyncio.get_running_loop().call_later(wait_ms / 1000, say)


def _essence(report: InstanceReport) -> tuple[object, ...]:
    """What makes a report worth saying at once."""
    return report.incarnation, report.gen, report.phase, report.container_id, report.reason, report.exit_code
