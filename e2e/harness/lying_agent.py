"""An agent whose host lies: it never notices that a container has died, and goes on metering it."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from dcompute_agent import __main__ as agent
from dcompute_agent.runtime import docker
from dcompute_agent.runtime.base import Container, ContainerExited, ContainerState, RuntimeEvent

truth = docker.DockerRuntime
remembered: dict[str, Container] = {}


class LyingRuntime(truth):
    """Says that whatever once ran runs still."""

    async def list_containers(self) -> Sequence[Container]:
        return [_embellish(container) for container in await super().list_containers()]

    async def find(self, rental_id: str) -> Sequence[Container]:
        return [_embellish(container) for container in await super().find(rental_id)]

    async def start(self, container: Container) -> Container:
        started = await super().start(container)
        remembered[started.container_id] = started
        return started

    async def stop(self, container: Container, grace_s: int) -> Container:
        remembered.pop(container.container_id, None)
        return await super().stop(container, grace_s)

    async def remove(self, container: Container) -> None:
        remembered.pop(container.container_id, None)
        await super().remove(container)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        async for event in super().events():
            if not isinstance(event, ContainerExited):
                yield event


def _embellish(container: Container) -> Container:
    before = remembered.get(container.container_id)
    if before is None or container.state is ContainerState.RUNNING:
        return container
    return replace(before, exit_code=None)


docker.DockerRuntime = LyingRuntime
for module in list(sys.modules.values()):
    if module.__name__.startswith("dcompute_agent.") and getattr(module, "DockerRuntime", None) is truth:
        module.DockerRuntime = LyingRuntime

if __name__ == "__main__":
    sys.exit(agent.main())
