"""The runtime on a Docker engine."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...config import DEFAULT_NETWORK_RANGE
from ...protocol.models import InstanceSpec, PullProgress
from ...tunnel.base import SSH_PORT
from ..banner import await_ssh_banner
from ..base import (
    Container,
    ContainerState,
    EngineFacts,
    FaultKind,
    Image,
    ProgressSink,
    RuntimeEvent,
    RuntimeFault,
)
from ..firewall import Firewall, FirewallError, Resolvers, configured_resolvers
from ..names import container_name
from ..profile import EngineAbilities, Json, container_config, gpus_of
from .engine import Engine
from .guest_files import instance_archive, keys_archive
from .guest_program import GuestProgram
from .host import HostFacts, look_at_host
from .images import Images
from .inspector import Inspector
from .networks import Networks
from .preflight import check_engine
from .watch import watch_exits

log = logging.getLogger(__name__)

NETWORK_RANGE = ipaddress.IPv4Network(DEFAULT_NETWORK_RANGE)
DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"
FIREWALL_WARNING = "the firewall cannot be set here: only the node's owner may rent it"
First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """What a host can set."""

    #: The static program that is PID 1 of every instance.
    guest: Path
    docker_host: str | None = None
    #: Each rental's network is a small part of it.
    network_range: ipaddress.IPv4Network = NETWORK_RANGE
    #: Name servers that instances may ask although they are in a blocked network.
    resolvers: Callable[[], Resolvers] = configured_resolvers


def no_gpus() -> Mapping[int, str]:
    """A node without GPUs."""
    return {}


class DockerRuntime:
    """Implements `Runtime`. Two agents may share one engine: each sees and touches only what has its label (R5)."""

    def __init__(
        self,
        settings: DockerSettings,
        node_id: Callable[[], str | None],
        gpu_uuids: Callable[[], Mapping[int, str]] = no_gpus,
    ) -> None:
        self._settings = settings
        self._known_node_id = node_id
        self._gpu_uuids = gpu_uuids
        self._engine = Engine(settings.docker_host or DEFAULT_DOCKER_HOST)
        self._images = Images(self._engine)
        self._networks = Networks(self._engine, settings.network_range)
        self._firewall = Firewall(settings.resolvers)
        self._abilities = EngineAbilities()
        self._guest = GuestProgram(settings.guest)
        self._inspector = Inspector(self._engine, self._node_id)

    async def load(self) -> EngineFacts:
        """Checks the engine and removes the networks that no running container of the node uses."""
        version, info = await self._engine.version(), await self._engine.info()
        host = await look_at_host(info, self._settings.network_range) if self._engine.is_local else HostFacts()
        report = check_engine(version, info, host, has_gpus=bool(self._gpu_uuids()))
        self._abilities = report.abilities
        node_id = self._known_node_id()
        if node_id is not None:
            await self._drop_idle_networks(node_id)
        firewall = await self.assert_firewall()
        return EngineFacts(
            name="docker",
            version=version.version,
            data_root=info.docker_root_dir,
            firewall=firewall,
            warnings=report.warnings if firewall else (*report.warnings, FIREWALL_WARNING),
        )

    async def close(self) -> None:
        """Closes the connection to the engine."""
        await self._engine.close()

    async def list_containers(self) -> Sequence[Container]:
        """All containers of this node."""
        return [] if self._known_node_id() is None else await self._inspector.list_all()

    async def find(self, rental_id: str) -> Sequence[Container]:
        """The containers of one rental on this node."""
        return await self._inspector.list_all(rental_id)

    async def ensure_image(self, spec: InstanceSpec, on_progress: ProgressSink) -> Image:
        """Has the image on this machine. Raises RuntimeFault(IMAGE_NOT_FOUND, PULL_FAILED, REFUSED)."""
        return await self._images.ensure(spec, on_progress)

    async def create(self, spec: InstanceSpec, incarnation: int, image: Image, ssh_keys: Sequence[str]) -> Container:
        """Makes the container, complete but not started; one that is there already is adopted or replaced (R4)."""
        node_id = self._node_id()
        guest = await self._guest.read()
        # A container names its network and needs it only when it starts: the engine makes both at the same time.
        made, _ = await _both(
            self._make(spec, incarnation, image, ssh_keys, guest),
            self._networks.ensure(node_id, spec.rental_id),
        )
        return made

    async def start(self, container: Container) -> Container:
        """Starts a complete container in its network, behind the firewall; one that runs is left alone."""
        present, _ = await _both(self._prepare_start(container), self.assert_firewall())
        if present.state is ContainerState.RUNNING:
            return present
        await self._engine.start_container(container.container_id)
        return await self._inspector.look(container.container_id)

    async def write_keys(self, container: Container, ssh_keys: Sequence[str]) -> None:
        """Replaces the authorized keys; the next login is checked against them."""
        await self._engine.put_files(container.container_id, keys_archive(ssh_keys))

    async def wait_ready(self, container: Container) -> None:
        """Returns when the instance's SSH banner came. Raises RuntimeFault when it ended or has no SSH port."""
        port = container.host_port(SSH_PORT)
        if port is None:
            raise RuntimeFault(FaultKind.INTERNAL, "the instance publishes no SSH port")

        async def check() -> None:
            present = await self._inspector.look(container.container_id)
            if present.state is not ContainerState.RUNNING:
                raise RuntimeFault(FaultKind.INTERNAL, f"the instance ended with exit code {present.exit_code}")

        await await_ssh_banner(port, check)

    async def stop(self, container: Container, grace_s: int) -> Container:
        """Ends the container and gives its network back."""
        await self._engine.stop_container(container.container_id, grace_s)
        await self._networks.drop(self._node_id(), container.rental_id)
        return await self._inspector.look(container.container_id)

    async def remove(self, container: Container) -> None:
        """Removes the container with all it has; one that is gone is no error."""
        try:
            await self._engine.remove_container(container.container_id)
        except RuntimeFault as fault:
            if fault.kind is not FaultKind.MISSING:
                raise
        self._inspector.forget(container.container_id)
        await self._networks.drop(self._node_id(), container.rental_id)

    async def assert_firewall(self) -> bool:
        """Says whether the rules stand, or before the node has its id whether they could."""
        if not self._engine.is_local:
            return False
        node_id = self._known_node_id()
        return await (self._firewall.is_settable() if node_id is None else self._firewall.assert_rules(node_id))

    async def release(self) -> None:
        """Takes away the firewall rules and the networks of stopped containers."""
        node_id = self._known_node_id()
        if node_id is None:
            return
        await self._drop_idle_networks(node_id)
        if self._engine.is_local:
            try:
                await self._firewall.remove_rules(node_id)
            except FirewallError as error:
                raise RuntimeFault(FaultKind.INTERNAL, str(error)) from error

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Exits of this node's containers, for ever."""
        return watch_exits(self._engine, self._known_node_id)

    def _node_id(self) -> str:
        node_id = self._known_node_id()
        if node_id is None:
            raise RuntimeFault(FaultKind.UNAVAILABLE, "the node has no id yet")
        return node_id

    def _config(self, spec: InstanceSpec, incarnation: int, image: Image) -> Mapping[str, Json]:
        gpus = gpus_of(spec.resource_limits, self._gpu_uuids())
        return container_config(self._node_id(), spec, incarnation, image, gpus, self._abilities)

    async def _make(
        self, spec: InstanceSpec, incarnation: int, image: Image, ssh_keys: Sequence[str], guest: bytes
    ) -> Container:
        """Makes and fills the container; adopts or replaces the one that has its name."""
        name = container_name(spec.rental_id, incarnation)
        try:
            container_id, image = await self._create(name, spec, incarnation, image)
        except RuntimeFault as fault:
            if fault.kind is not FaultKind.CONFLICT:
                raise
            adopted = await self._adopt_or_remove(name, spec, incarnation)
            if adopted is not None:
                await self.write_keys(adopted, ssh_keys)
                return adopted
            container_id, image = await self._create(name, spec, incarnation, image)
        # The marker is the archive's last file: once the engine has taken all of it, the container is complete.
        await self._engine.put_files(container_id, instance_archive(spec, image, guest, ssh_keys))
        return Container(container_id, spec.rental_id, incarnation, spec.spec_sha, ContainerState.STOPPED)

    async def _create(self, name: str, spec: InstanceSpec, incarnation: int, image: Image) -> tuple[str, Image]:
        """Makes an empty container; returns its id and the image that it has. Raises RuntimeFault(CONFLICT)."""
        try:
            return await self._engine.create_container(name, self._config(spec, incarnation, image)), image
        except RuntimeFault as fault:
            if fault.kind is not FaultKind.MISSING:
                raise
        # The image went away since it was looked up: hosts clear up.
        image = await self._images.ensure(spec, _ignore_progress)
        return await self._engine.create_container(name, self._config(spec, incarnation, image)), image

    async def _prepare_start(self, container: Container) -> Container:
        """The container as it is now; one that does not run is complete and will start in the rental's network."""
        answer = await self._engine.inspect_container(container.container_id)
        # A container that was seen complete stays so.
        present = self._inspector.describe(answer, is_complete=container.state is not ContainerState.INCOMPLETE)
        if present.state is ContainerState.INCOMPLETE:
            raise RuntimeFault(FaultKind.INTERNAL, f"container {container.container_id} was never finished")
        if present.state is not ContainerState.RUNNING:
            await self._networks.attach(self._node_id(), container.rental_id, answer)
        return present

    async def _adopt_or_remove(self, name: str, spec: InstanceSpec, incarnation: int) -> Container | None:
        """The container that has the name, if it is the wanted one; another one is removed.

        Raises RuntimeFault(CONFLICT) when it is not this node's: nobody else's container is ever touched (R5).
        """
        try:
            found = await self._inspector.look(name)
        except RuntimeFault as fault:
            if fault.kind is FaultKind.MISSING:
                return None
            raise
        wanted = (spec.rental_id, incarnation, spec.spec_sha)
        if (
            found.rental_id,
            found.incarnation,
            found.spec_sha,
        ) == wanted and found.state is not ContainerState.INCOMPLETE:
            return found
        log.warning("container_replaced", extra={"container": found.container_id, "state": found.state})
        await self._engine.remove_container(found.container_id)
        return None

    async def _drop_idle_networks(self, node_id: str) -> None:
        running = {c.rental_id for c in await self._inspector.list_all() if c.state is ContainerState.RUNNING}
        await self._networks.drop_all_but(node_id, running)


def _ignore_progress(_: PullProgress) -> None:
    """For a pull that nobody watches."""


async def _both(first: Coroutine[Any, Any, First], second: Coroutine[Any, Any, Second]) -> tuple[First, Second]:
    """Does two things at the same time and ends with both of them ended; then the first fault is raised."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(other, BaseException):
        raise other
    return one, other
