"""Takes the node down: its host wants the machine for itself, or switches it off."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from .assembly import Assembly
from .control import ControlError
from .journal import JournalError
from .protocol.models import DesiredState, RentalEndReason
from .reconcile.plan import Gate, wanted_state
from .runtime.base import RuntimeFault

log = logging.getLogger(__name__)

#: Stopping all instances side by side, each with its own grace up to SHUTDOWN_GRACE_S.
STOP_LIMIT_S = 45.0
#: For containers that no placement explains.
STRAY_GRACE_S = 10
TUNNELS_LIMIT_S = 15.0


async def stop_instances(parts: Assembly) -> int:
    """Stops everything that runs, disks kept, until the backend wants it again after the node's return.

    Returns how many instances it stopped. Raises ControlError when some could not be stopped in time.
    """
    executor = parts.executor
    wanted = [
        placement
        for placement in executor.placements.values()
        if wanted_state(placement.record, executor.gate) is DesiredState.RUNNING
    ]
    executor.set_gate(replace(executor.gate, shutting_down=True))
    for placement in wanted:
        executor.end_locally(placement, RentalEndReason.NODE_SHUTDOWN)
    open_ids = [name for name, placement in executor.placements.items() if not placement.is_gone]
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.gather(executor.settled(open_ids), executor.stop_strays(STRAY_GRACE_S))
            await parts.journal.durable()
    except (TimeoutError, JournalError, RuntimeFault) as error:
        left = len(executor.running_ids())
        raise ControlError(f"{left} instances could not be stopped: {error or 'no answer in time'}") from error
    return len(wanted)


async def leave_nothing_behind(parts: Assembly) -> None:
    """Ends frpc and removes networks and firewall rules. Raises ControlError."""
    try:
        async with asyncio.timeout(TUNNELS_LIMIT_S):
            await parts.tunnels.shut_down()
            await parts.runtime.release()
    except (RuntimeFault, OSError, TimeoutError) as error:
        raise ControlError(f"the node left something behind: {error}") from error


async def take_down_offline(parts: Assembly) -> Mapping[str, object]:
    """The same without a running agent: by the journal and the labels of the containers. Raises ControlError."""
    stopped = 0
    if parts.memory.node_id is not None:
        try:
            await parts.runtime.load()
            parts.executor.set_gate(Gate(frozen=parts.memory.frozen))
            await parts.executor.load()
        except RuntimeFault as fault:
            raise ControlError(f"the container engine cannot be reached: {fault}") from fault
        stopped = await stop_instances(parts)
    await leave_nothing_behind(parts)
    return {"stopped": stopped}
