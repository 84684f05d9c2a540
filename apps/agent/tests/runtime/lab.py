"""What a test needs around a runtime, the same for every kind of runtime."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiodocker
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dcompute_agent.protocol.models import InstanceSpec, PullProgress, ResourceLimits, RunType
from dcompute_agent.runtime.base import Container, Image, Runtime
from dcompute_agent.runtime.docker import DockerRuntime, DockerSettings
from dcompute_agent.runtime.names import LABEL_NODE
from dcompute_agent.runtime.simulated import SimulatedMachine, SimulatedRuntime, SimulatedSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0000000000000000000000000000000000000000000 renter"
UNKNOWN_IMAGE = "unknown/image:1"


def host_key() -> str:
    """An SSH host key as the backend makes it."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")


def new_id(kind: str) -> str:
    """An id that no other test has."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def ignore_progress(_: PullProgress) -> None:
    """For pulls that a test does not watch."""


class Lab(ABC):
    """One engine with room for several nodes."""

    def __init__(self, image: str, unknown_image: str) -> None:
        self.image = image
        self.unknown_image = unknown_image
        self.node_id = new_id("node")
        self.runtime = self.runtime_of(self.node_id)

    @abstractmethod
    def runtime_of(self, node_id: str | None) -> Runtime:
        """A runtime of a node on this engine."""

    @abstractmethod
    async def end(self, container: Container) -> int:
        """Ends an instance behind the runtime's back; returns the exit code that it has then."""

    @abstractmethod
    async def keys_of(self, container: Container) -> str:
        """The authorized keys that the container has."""

    @abstractmethod
    async def close(self) -> None:
        """Removes all that the test made."""

    def spec(self, **changes: Any) -> InstanceSpec:
        """A small instance."""
        fields: dict[str, Any] = {
            "rental_id": new_id("rental"),
            "spec_sha": uuid.uuid4().hex,
            "image": self.image,
            "run_type": RunType.SSH,
            "command": [],
            "env_vars": {},
            "resource_limits": ResourceLimits(cpu_cores=0.5, ram_limit="64m", pids=64, shm_mib=8),
            "container_ports": [22, 8080],
            "ssh_host_key": host_key(),
        }
        return InstanceSpec.model_validate({**fields, **changes})

    async def image_for(self, spec: InstanceSpec) -> Image:
        """The image of a spec."""
        return await self.runtime.ensure_image(spec, ignore_progress)

    async def create(self, spec: InstanceSpec, incarnation: int = 1, keys: Sequence[str] = (KEY,)) -> Container:
        """A complete container that was never started."""
        return await self.runtime.create(spec, incarnation, await self.image_for(spec), keys)

    async def run(self, spec: InstanceSpec | None = None) -> Container:
        """A running container."""
        return await self.runtime.start(await self.create(spec or self.spec()))


@dataclass
class DockerLabSettings:
    """What all tests on the engine share."""

    docker_host: str
    guest: Path
    image: str
    unknown_image: str


class DockerLab(Lab):
    """The real engine."""

    def __init__(self, settings: DockerLabSettings) -> None:
        self.settings = settings
        # Only tests look at the engine without the runtime; its client is annotated in part only.
        self.docker: Any = aiodocker.Docker(settings.docker_host)
        self._runtimes: list[DockerRuntime] = []
        self._node_ids: set[str] = set()
        super().__init__(settings.image, settings.unknown_image)

    def runtime_of(self, node_id: str | None) -> DockerRuntime:
        settings = DockerSettings(guest=self.settings.guest, docker_host=self.settings.docker_host)
        return self.keep(DockerRuntime(settings, lambda: node_id), node_id)

    def keep(self, runtime: DockerRuntime, node_id: str | None) -> DockerRuntime:
        """Notes a runtime that is to be closed, and its node that is to be cleared."""
        self._runtimes.append(runtime)
        if node_id is not None:
            self._node_ids.add(node_id)
        return runtime

    async def inspect(self, container: Container) -> Any:
        """The container as the engine shows it."""
        return await self.docker.containers.container(container.container_id).show()

    async def exec(self, container: Container, *command: str) -> tuple[int, str]:
        """Runs a program in the instance, beside the guest; returns its exit code and output."""
        execution = await self.docker.containers.container(container.container_id).exec(list(command))
        async with execution.start(detach=False) as stream:
            output = b""
            while (message := await stream.read_out()) is not None:
                output += message.data
        return int((await execution.inspect())["ExitCode"]), output.decode(errors="replace")

    async def end(self, container: Container) -> int:
        await self.docker.containers.container(container.container_id).kill(signal="SIGKILL")
        await self.docker.containers.container(container.container_id).wait()
        return 137

    async def keys_of(self, container: Container) -> str:
        archive = await self.docker.containers.container(container.container_id).get_archive(
            "/.dcompute/authorized_keys"
        )
        content = archive.extractfile("authorized_keys")
        assert content is not None
        return content.read().decode()

    async def close(self) -> None:
        try:
            for node_id in list(self._node_ids):
                await self._clear(node_id)
        finally:
            await asyncio.gather(*(runtime.close() for runtime in self._runtimes))
            await self.docker.close()

    async def _clear(self, node_id: str) -> None:
        filters = {"label": [f"{LABEL_NODE}={node_id}"]}
        for container in await self.docker.containers.list(all=True, filters=filters):
            with suppress(aiodocker.DockerError):
                await container.delete(force=True, v=True)
        for network in await self.docker.networks.list(filters=filters):
            with suppress(aiodocker.DockerError):
                await (await self.docker.networks.get(network["Id"])).delete()
        await self.runtime_of(node_id).release()


class SimulatedLab(Lab):
    """The simulation."""

    def __init__(self) -> None:
        self.machine = SimulatedMachine(SimulatedSettings(missing_images=frozenset({UNKNOWN_IMAGE})))
        super().__init__("simulated/image:1", UNKNOWN_IMAGE)

    def runtime_of(self, node_id: str | None) -> SimulatedRuntime:
        return SimulatedRuntime(lambda: node_id, self.machine)

    async def end(self, container: Container) -> int:
        await self.machine.end(container.container_id, 137)
        return 137

    async def keys_of(self, container: Container) -> str:
        return "".join(f"{key}\n" for key in self.machine.containers[container.container_id].ssh_keys)

    async def close(self) -> None:
        await self.machine.close()
