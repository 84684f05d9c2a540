"""What becomes of a wish of the backend: the rules on generations (R1, R2), pure."""

from dataclasses import replace

from ..journal import Record
from ..protocol.models import (
    CommandResult,
    DesiredInstance,
    DesiredState,
    InstancePhase,
    StopInstance,
    StopTarget,
    UpdateSshKeys,
)
from .plan import SETTLED_PHASES


def accept(
    record: Record | None, item: DesiredInstance, *, boot_id: str, now_ms: int
) -> tuple[CommandResult, Record | None]:
    """The verdict on a wish, and the record to persist before anything is done (None: nothing changes)."""
    if record is None:
        return CommandResult.ACCEPTED, _with_deadline(_first(item, now_ms), item, boot_id, now_ms)
    if item.gen < record.gen:
        return CommandResult.STALE, None
    if item.gen == record.gen:
        # Only a time limit that was counted on another boot is worth taking again.
        lost = item.ttl_remaining_ms is not None and record.boot_id != boot_id
        return CommandResult.DUPLICATE, _with_deadline(record, item, boot_id, now_ms) if lost else None
    if item.desired is DesiredState.RUNNING and item.gen <= record.tombstone_gen:
        return CommandResult.STALE, None
    return CommandResult.ACCEPTED, _with_deadline(_next(record, item, now_ms), item, boot_id, now_ms)


def wish_of_stop(record: Record | None, stop: StopInstance) -> DesiredInstance | None:
    """The complete wish behind a stop; None when it does not say which generation of what."""
    if stop.placement_id is None or stop.gen is None:
        return None
    changes = {
        "gen": stop.gen,
        "desired": DesiredState.DELETED if stop.desired is StopTarget.DELETED else DesiredState.STOPPED,
        "reason": stop.reason,
        "stop_grace_seconds": stop.grace_seconds,
    }
    if record is not None:
        return record.desired.model_copy(update=changes)
    # A stop that overtook its start: the tombstone is what matters.
    blank = DesiredInstance(
        rental_id=stop.rental_id,
        placement_id=stop.placement_id,
        incarnation=stop.incarnation or 1,
        gen=stop.gen,
        desired=DesiredState.STOPPED,
        spec_sha="",
        ssh_keys=[],
        tunnels=[],
    )
    return blank.model_copy(update=changes)


def wish_of_keys(record: Record | None, update: UpdateSshKeys) -> DesiredInstance | None:
    """The complete wish behind new SSH keys; None for a placement that is not known here."""
    if record is None:
        return None
    return record.desired.model_copy(update={"gen": update.gen, "ssh_keys": update.ssh_keys, "reason": None})


def _first(item: DesiredInstance, now_ms: int) -> Record:
    return Record(desired=item, tombstone_gen=_tombstone(item, -1), phase_boot_ms=now_ms)


def _next(record: Record, item: DesiredInstance, now_ms: int) -> Record:
    following = replace(record, desired=item, tombstone_gen=_tombstone(item, record.tombstone_gen))
    if item.incarnation != record.incarnation:
        following = replace(following, container_id=None, keys_sha=None, image_digest=None)
        starts_over = True
    else:
        starts_over = record.phase in SETTLED_PHASES | {InstancePhase.STOPPING}
    if item.desired is not DesiredState.RUNNING or not starts_over:
        return following
    return replace(
        following,
        phase=InstancePhase.SCHEDULED,
        phase_boot_ms=now_ms,
        exit_code=None,
        oom_killed=None,
        pull_progress=None,
    )


def _tombstone(item: DesiredInstance, before: int) -> int:
    return before if item.desired is DesiredState.RUNNING else max(before, item.gen)


def _with_deadline(record: Record, item: DesiredInstance, boot_id: str, now_ms: int) -> Record:
    deadline = None if item.ttl_remaining_ms is None else now_ms + item.ttl_remaining_ms
    return replace(record, boot_id=boot_id, ttl_deadline_ms=deadline)
