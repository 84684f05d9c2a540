"""Taking a node down: everything stops, also what a freeze keeps and what no placement explains."""

import asyncio

from dcompute_agent.assembly import Assembly, assemble
from dcompute_agent.runtime.simulated import SimulatedRuntime
from dcompute_agent.shutdown import take_down_offline

from ..support.agent import Host
from ..support.backend import BackendDouble
from ..support.conversation import join, run
from ..support.fixtures import spec_for, wish
from ..support.waiting import until


async def freeze_with_a_deletion(backend: BackendDouble, host: Host, parts: Assembly) -> None:
    """An instance that the backend wants deleted, and one that nobody explains; all removals are frozen."""
    session = await join(backend)
    await run(session, 1, wish())
    await session.desire(2, wish(gen=2, desired="deleted", reason="renter_deleted"), frozen=True)
    await until(lambda: parts.journal.rev_applied == 2, what="the frozen list")
    spec = spec_for("rental-stray")
    image = await parts.runtime.ensure_image(spec, lambda _progress: None)
    await parts.runtime.start(await parts.runtime.create(spec, 1, image, []))
    await parts.executor.resync()
    assert host.running() == ["rental-1", "rental-stray"]


async def test_down_stops_what_a_freeze_keeps_and_what_no_placement_explains_and_removes_neither(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent() as agent:
        await freeze_with_a_deletion(backend, host, agent.parts)

        await agent.node.take_down()
        await agent.task

    assert host.running() == []
    assert len(host.machine.containers) == 2


async def test_down_without_an_agent_keeps_the_freeze_too(backend: BackendDouble, host: Host) -> None:
    async with host.agent() as agent:
        await freeze_with_a_deletion(backend, host, agent.parts)
    parts = assemble(host.config(), host.clock, lambda node_id: SimulatedRuntime(node_id, host.machine))

    try:
        async with asyncio.timeout(30):
            await take_down_offline(parts)
    finally:
        await parts.executor.close()
        await parts.journal.close()

    assert host.running() == []
    assert len(host.machine.containers) == 2
