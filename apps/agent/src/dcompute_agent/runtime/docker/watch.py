"""The engine's event stream, as exits of containers."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from ..base import ContainerExited, FaultKind, RuntimeEvent, RuntimeFault, WatchStarted
from ..names import LABEL_NODE
from .answers import EventMessage, RunState
from .engine import Engine
from .reading import was_oom_killed

log = logging.getLogger(__name__)

FILTERS = {"type": ["container"], "event": ["die"], "label": [LABEL_NODE]}
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 5.0
#: The exit code of a program that was killed, by a lack of memory perhaps.
KILLED = 137
OOM_LOOKS = 5
OOM_LOOK_S = 0.05


async def watch_exits(engine: Engine, node_id: Callable[[], str | None]) -> AsyncGenerator[RuntimeEvent, None]:
    """Exits of this node's containers, for ever. Each time that the engine is watched anew begins with WatchStarted."""
    failures = 0
    while True:
        try:
            # The stream begins before the word that it has begun, so that no exit falls between the two.
            stream = engine.events(time.time(), FILTERS)
            async with aclosing(stream):
                async for message in stream:
                    failures = 0
                    event = WatchStarted() if message is None else await _exit_of(engine, message, node_id())
                    if event is not None:
                        yield event
        except RuntimeFault as fault:
            log.warning("engine_watch_lost", extra={"error": str(fault), "failures": failures})
        await asyncio.sleep(min(RETRY_CAP_S, RETRY_FIRST_S * 2**failures) * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
        failures = min(failures + 1, 16)


async def _exit_of(engine: Engine, message: EventMessage, node_id: str | None) -> ContainerExited | None:
    attributes = message.actor.attributes
    if message.action != "die" or node_id is None or attributes.get(LABEL_NODE) != node_id:
        return None
    exit_code = int(attributes.get("exitCode") or 0)
    try:
        state = await _state_after_exit(engine, message.actor.id, exit_code)
    except RuntimeFault as fault:
        if fault.kind is not FaultKind.MISSING:
            log.warning("exit_details_unknown", extra={"container": message.actor.id, "error": str(fault)})
        return ContainerExited(message.actor.id, exit_code, oom_killed=False)
    if state.is_running:
        # It was started again before we looked: the exit is of an earlier run.
        return None
    return ContainerExited(message.actor.id, exit_code, was_oom_killed(state), started_token=state.started_at)


async def _state_after_exit(engine: Engine, container_id: str, exit_code: int) -> RunState:
    """What the engine knows of an ended run. That memory ran out it may learn a moment after the end."""
    state = (await engine.inspect_container(container_id)).state
    for _ in range(OOM_LOOKS if exit_code == KILLED else 0):
        if state.is_running or state.oom_killed:
            break
        await asyncio.sleep(OOM_LOOK_S)
        state = (await engine.inspect_container(container_id)).state
    return state
