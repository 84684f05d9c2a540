"""Takes over what the backend wants: full lists and hints, under the rules R1, R2, R5 and R6."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..clock import Clock
from ..journal import Journal, Record
from ..journal.journal import REV_APPLIED
from ..memory import NodeMemory
from ..protocol.models import CommandResult, DesiredInstance, DesiredState, InstanceSpec, StopInstance, UpdateSshKeys
from ..spec_text import has_own_sha
from .executor import Executor
from .guard import is_mass_stop, unexplained_stops
from .intake import accept, wish_of_keys, wish_of_stop
from .placement import Placement
from .unlisted import Unlisted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a hint."""

    result: CommandResult
    gen: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ListOutcome:
    """What became of a full list."""

    #: Placements that the list would stop without a reason, too many of them at once: left as they are (R6).
    held: Sequence[str] = ()


class Desires:
    """The only way from the backend's words to the placements."""

    def __init__(
        self, executor: Executor, journal: Journal, memory: NodeMemory, clock: Clock, unlisted: Unlisted
    ) -> None:
        self._executor = executor
        self._journal = journal
        self._memory = memory
        self._clock = clock
        self._unlisted = unlisted

    async def take_list(self, rev: int, items: Sequence[DesiredInstance], *, frozen: bool) -> ListOutcome:
        """Takes over a complete list. Raises JournalError when it cannot be made durable."""
        if rev < self._journal.rev_applied:
            log.warning("desired_list_stale", extra={"rev": rev, "rev_applied": self._journal.rev_applied})
            return ListOutcome()
        listed = {item.placement_id: item for item in items}
        held = self._unexplained(listed, frozen=frozen)
        self.freeze(frozen)
        for item in items:
            if item.placement_id not in held:
                self._take(item, from_list=True)
        await self._journal.durable()
        if held:
            return ListOutcome(held)
        self._unlisted.take_list(listed)
        if not frozen:
            self._disown_all_but(listed)
        self._journal.put_meta(REV_APPLIED, str(rev))
        return ListOutcome()

    async def take_start(self, item: DesiredInstance, spec: InstanceSpec) -> Verdict:
        """Takes over a start. Raises JournalError."""
        if spec.spec_sha != item.spec_sha or spec.rental_id != item.rental_id or not has_own_sha(spec):
            return Verdict(CommandResult.REJECTED, item.gen, "the spec is not the one that spec_sha names")
        result = self._take(item)
        if result in (CommandResult.ACCEPTED, CommandResult.DUPLICATE):
            self._executor.put_spec(item.placement_id, spec)
        await self._journal.durable()
        return Verdict(result, item.gen)

    async def take_stop(self, stop: StopInstance) -> Verdict:
        """Takes over a stop, also one that overtook its start (R2). Raises JournalError."""
        wish = wish_of_stop(self._record(stop.placement_id), stop)
        if wish is None:
            return Verdict(CommandResult.REJECTED, stop.gen or 0, "a stop must name placement_id and gen")
        result = self._take(wish)
        await self._journal.durable()
        return Verdict(result, wish.gen)

    async def take_keys(self, update: UpdateSshKeys) -> Verdict:
        """Takes over new SSH keys. Raises JournalError."""
        wish = wish_of_keys(self._record(update.placement_id), update)
        if wish is None:
            return Verdict(CommandResult.REJECTED, update.gen, "the placement is not known here")
        result = self._take(wish)
        await self._journal.durable()
        return Verdict(result, wish.gen)

    def take_spec(self, placement_id: str, spec: InstanceSpec) -> bool:
        """Takes over a spec that was asked for; False when it is not what its sha says."""
        if not has_own_sha(spec):
            return False
        self._executor.put_spec(placement_id, spec)
        return True

    def freeze(self, frozen: bool) -> None:
        """While frozen, instances are started and kept, but nothing is stopped or removed (R6)."""
        if frozen != self._memory.frozen:
            log.warning("removals_frozen" if frozen else "removals_unfrozen")
        self._memory.frozen = frozen
        self._executor.set_gate(replace(self._executor.gate, frozen=frozen))

    async def remove_unlisted(self) -> None:
        """Removes what no list has named for the whole grace (R5); never while removals are frozen."""
        if self._executor.gate.frozen:
            return
        now_ms = self._clock.boot_ms()
        for placement in self._unlisted.overdue_placements(self._executor.placements.values(), now_ms):
            log.warning("unlisted_placement_deleted", extra={"placement": placement.record.placement_id})
            self._delete(placement)
        # Side by side: one that cannot be removed must not keep the others (R9).
        strays = self._unlisted.overdue_containers(self._executor.strays, now_ms)
        removals = await asyncio.gather(*map(self._executor.remove_stray, strays), return_exceptions=True)
        for failure in removals:
            if isinstance(failure, BaseException):
                raise failure

    def _delete(self, placement: Placement) -> None:
        record = placement.record
        if record.desired.desired is DesiredState.DELETED:
            return
        gone = record.desired.model_copy(update={"desired": DesiredState.DELETED, "reason": None})
        tombstone = max(record.tombstone_gen, record.gen)
        self._executor.apply(replace(record, desired=gone, tombstone_gen=tombstone), confirmed=True)

    def _disown_all_but(self, listed: Mapping[str, DesiredInstance]) -> None:
        """After a restored database, what the operator let go of must not freeze the node at each new session (R6)."""
        known, before = self._executor.placements, self._memory.disowned
        unknown = {
            placement_id
            for placement_id, placement in known.items()
            if placement_id not in listed
            and (placement_id in before or placement.record.desired.desired is not DesiredState.DELETED)
        }
        self._memory.disown(unknown)

    def _unexplained(self, listed: Mapping[str, DesiredInstance], *, frozen: bool) -> Sequence[str]:
        """Stops to be held. A list that lifts a freeze was confirmed by an operator, so it may stop anything."""
        if frozen or self._memory.frozen:
            return ()
        running = self._executor.running_ids()
        unexplained = unexplained_stops(running, listed)
        return unexplained if is_mass_stop(len(running), len(unexplained)) else ()

    def _take(self, item: DesiredInstance, *, from_list: bool = False) -> CommandResult:
        record = self._record(item.placement_id)
        boot_id, now_ms = self._clock.boot_id, self._clock.boot_ms()
        result, following = accept(record, item, boot_id=boot_id, now_ms=now_ms)
        if following is not None:
            self._executor.apply(following, confirmed=True)
        elif result is CommandResult.DUPLICATE:
            self._executor.confirm(item.placement_id)
        if result is CommandResult.DUPLICATE and item.desired is DesiredState.RUNNING:
            self._executor.forget_shutdown(item.placement_id)
        if from_list:
            # Whatever the list still names, the backend may not have heard the last word on.
            self._executor.report(item.placement_id)
        else:
            self._unlisted.take_hint(item.placement_id)
        return result

    def _record(self, placement_id: str | None) -> Record | None:
        placement = self._executor.placements.get(placement_id or "")
        return placement.record if placement else None
