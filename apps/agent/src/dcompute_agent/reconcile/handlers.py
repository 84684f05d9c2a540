"""What each kind of step does: a total table over the kinds."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..journal import Journal
from ..metering.meter import Meter
from ..protocol.models import InstancePhase, InstanceSpec, PullProgress
from ..runtime.base import Container, ContainerState, Runtime
from ..tunnel.base import Tunnels
from .keys import authorized_keys_sha
from .placement import Placement
from .retry import SpecMissing
from .steps import (
    AwaitReady,
    CloseTunnels,
    Create,
    FetchSpec,
    OpenTunnel,
    PullImage,
    Refresh,
    Remove,
    Settle,
    Start,
    Step,
    Stop,
    WriteKeys,
)

#: A cancelled call to the engine may still take effect: this long we wait to learn of it, seconds.
AFTERMATH_S = 10.0
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with."""

    runtime: Runtime
    tunnels: Tunnels
    journal: Journal
    meter: Meter
    #: Says a change to the backend, at once.
    report: Callable[[Placement], None]
    #: Asks the backend for the spec of a placement.
    request_spec: Callable[[str, str], None]


async def run_step(tools: Tools, placement: Placement, step: Step) -> None:
    """Does one step. Raises RuntimeFault, TunnelFault, SpecMissing, JournalError."""
    await HANDLERS[type(step)](tools, placement, step)


def _enter(tools: Tools, placement: Placement, phase: InstancePhase) -> None:
    if placement.enter(phase):
        tools.report(placement)


async def _to_the_end(call: Coroutine[Any, Any, R], limit_s: float = AFTERMATH_S) -> R:
    """Awaits a call that is not undone by cancelling it: when cancelled, first waits for what it still does."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=limit_s)
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
        raise


def _spec(placement: Placement, spec_sha: str) -> InstanceSpec:
    spec = placement.spec
    if spec is None or spec.spec_sha != spec_sha:
        raise SpecMissing(f"no spec {spec_sha} of placement {placement.record.placement_id}")
    return spec


async def _refresh(tools: Tools, placement: Placement, _step: Refresh) -> None:
    containers = await tools.runtime.find(placement.record.rental_id)
    placement.observe(containers)
    placement.save(tools.meter.follow(placement.record, containers))


async def _fetch_spec(tools: Tools, placement: Placement, step: FetchSpec) -> None:
    placement.spec_arrived.clear()
    known = placement.spec
    # It may have come, with a hint, since the plan was made.
    if known is None or known.spec_sha != step.spec_sha:
        tools.request_spec(placement.record.placement_id, step.spec_sha)
        await placement.spec_arrived.wait()
    _spec(placement, step.spec_sha)


async def _pull_image(tools: Tools, placement: Placement, step: PullImage) -> None:
    spec = _spec(placement, step.spec_sha)
    _enter(tools, placement, InstancePhase.PULLING)

    def on_progress(progress: PullProgress) -> None:
        placement.save(replace(placement.record, pull_progress=progress))
        tools.report(placement)

    image = await tools.runtime.ensure_image(spec, on_progress)
    placement.image = (step.spec_sha, image)
    placement.save(replace(placement.record, image_digest=image.digest))


async def _create(tools: Tools, placement: Placement, step: Create) -> None:
    spec = _spec(placement, step.spec_sha)
    if placement.image is None:
        raise SpecMissing("the image was not looked up")
    _enter(tools, placement, InstancePhase.CREATING)
    keys = placement.record.desired.ssh_keys
    made = await _to_the_end(tools.runtime.create(spec, step.incarnation, placement.image[1], keys))
    placement.put_container(made)
    placement.save(
        replace(
            placement.record,
            container_id=made.container_id,
            keys_sha=authorized_keys_sha(keys),
            exit_code=None,
            oom_killed=None,
        )
    )


async def _start(tools: Tools, placement: Placement, step: Start) -> None:
    _enter(tools, placement, InstancePhase.STARTING)
    started = await _to_the_end(tools.runtime.start(step.container))
    placement.put_container(started)
    record = replace(placement.record, container_id=started.container_id, exit_code=None, oom_killed=None)
    placement.save(tools.meter.follow(record, placement.containers.values()))
    if started.state is not ContainerState.RUNNING:
        # Its program ran and ended before we looked. It is not run a second time: nobody asked for that.
        placement.end_of_program(started.exit_code, oom_killed=started.oom_killed)


async def _write_keys(tools: Tools, placement: Placement, step: WriteKeys) -> None:
    keys = placement.record.desired.ssh_keys
    await tools.runtime.write_keys(step.container, keys)
    container_id = step.container.container_id
    record = replace(placement.record, keys_sha=authorized_keys_sha(keys), container_id=container_id)
    placement.save(tools.meter.follow(record, placement.containers.values()))


async def _open_tunnel(tools: Tools, _placement: Placement, step: OpenTunnel) -> None:
    await tools.tunnels.open(step.tunnel, step.local_port)


async def _await_ready(tools: Tools, placement: Placement, step: AwaitReady) -> None:
    _enter(tools, placement, InstancePhase.PROBING)
    await tools.runtime.wait_ready(step.container)
    _enter(tools, placement, InstancePhase.RUNNING)


async def _stop(tools: Tools, placement: Placement, step: Stop) -> None:
    _enter(tools, placement, InstancePhase.STOPPING)
    await _stop_container(tools, placement, step.container, step.grace_s)


async def _remove(tools: Tools, placement: Placement, step: Remove) -> None:
    container = step.container
    if container.state is ContainerState.RUNNING:
        if container.incarnation == placement.record.incarnation:
            _enter(tools, placement, InstancePhase.STOPPING)
        container = await _stop_container(tools, placement, container, step.grace_s)
    await _to_the_end(tools.runtime.remove(container))
    placement.drop_container(container.container_id)


async def _stop_container(tools: Tools, placement: Placement, container: Container, grace_s: int) -> Container:
    stopped = await _to_the_end(tools.runtime.stop(container, grace_s), grace_s + AFTERMATH_S)
    placement.put_container(stopped)
    placement.save(tools.meter.finish(placement.record, container.container_id))
    return stopped


async def _close_tunnels(tools: Tools, _placement: Placement, step: CloseTunnels) -> None:
    await tools.tunnels.close(step.names)


async def _settle(tools: Tools, placement: Placement, step: Settle) -> None:
    if step.phase is InstancePhase.DELETED:
        tools.journal.drop_spec(placement.record.placement_id)
        placement.image = None
    # The last word of an instance is said only when what it follows from cannot be forgotten. The phase comes after:
    # a wait that is cut short must leave it open, or the word would never be said.
    await tools.journal.durable()
    placement.enter(step.phase)
    tools.report(placement)


Handler = Callable[[Tools, Placement, Any], Awaitable[None]]
HANDLERS: dict[type[Step], Handler] = {
    Refresh: _refresh,
    FetchSpec: _fetch_spec,
    PullImage: _pull_image,
    Create: _create,
    Start: _start,
    WriteKeys: _write_keys,
    OpenTunnel: _open_tunnel,
    AwaitReady: _await_ready,
    Stop: _stop,
    Remove: _remove,
    CloseTunnels: _close_tunnels,
    Settle: _settle,
}
