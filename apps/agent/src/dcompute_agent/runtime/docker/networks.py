"""One small bridge network per rental: made before a start, given back at a stop."""

import asyncio
import ipaddress
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..base import FaultKind, RuntimeFault
from ..names import LABEL_NODE, LABEL_RENTAL, bridge_name, network_name
from ..profile import Json
from ..subnets import free_subnets
from .answers import ContainerAnswer, NetworkAnswer
from .engine import Engine

log = logging.getLogger(__name__)

#: Another agent may take a subnet between our look and our try; this often we take the next one.
MAX_TRIES = 32
ROUTES_FILE = Path("/proc/net/route")


class Networks:
    """The networks of one node's rentals; no other is ever changed (R5)."""

    def __init__(self, engine: Engine, network_range: ipaddress.IPv4Network) -> None:
        self._engine = engine
        self._range = network_range
        self._choosing = asyncio.Lock()

    async def ensure(self, node_id: str, rental_id: str) -> str:
        """The id of the rental's network, made if need be.

        Raises RuntimeFault(CONFLICT) while another node of this engine still has a network for this rental.
        """
        labels = _labels(node_id, rental_id)
        async with self._choosing:
            networks = await self._engine.list_networks()
            found = next((network.id for network in networks if labels.items() <= network.labels.items()), None)
            return found or await self._create(node_id, rental_id, networks)

    async def attach(self, node_id: str, rental_id: str, container: ContainerAnswer) -> None:
        """Makes sure that the container will start in the rental's network as it is now.

        The engine remembers a network by its id, so that a container cannot find a network that was made anew.
        """
        network_id = await self.ensure(node_id, rental_id)
        name = network_name(rental_id)
        endpoint = container.network_settings.networks.get(name)
        # No id yet: the container never ran and finds the network by its name.
        if endpoint is not None and endpoint.network_id in ("", network_id):
            return
        if endpoint is not None:
            with suppress(RuntimeFault):
                await self._engine.disconnect_network(network_id, container.id)
        await self._engine.connect_network(network_id, container.id)

    async def drop(self, node_id: str, rental_id: str) -> None:
        """Removes the rental's network, unless another container of it runs there."""
        for network in await self._engine.list_networks(_labels(node_id, rental_id)):
            await self._remove(network)

    async def drop_all_but(self, node_id: str, rental_ids: Collection[str]) -> None:
        """Removes the networks of all rentals but these."""
        for network in await self._engine.list_networks({LABEL_NODE: node_id}):
            if network.labels.get(LABEL_RENTAL) not in rental_ids:
                await self._remove(network)

    async def _create(self, node_id: str, rental_id: str, present: Collection[NetworkAnswer]) -> str:
        used = [*self._subnets(present), *_routes_within(self._range)]
        for subnet in islice(free_subnets(self._range, used, node_id), MAX_TRIES):
            try:
                return await self._engine.create_network(network_config(node_id, rental_id, subnet))
            except RuntimeFault as fault:
                if "overlap" not in str(fault).lower():
                    raise
        raise RuntimeFault(FaultKind.INTERNAL, f"no free network is left in {self._range}")

    @staticmethod
    def _subnets(networks: Collection[NetworkAnswer]) -> Iterator[ipaddress.IPv4Network]:
        for pool in (pool for network in networks for pool in network.ipam.config):
            with suppress(ValueError):
                yield ipaddress.IPv4Network(pool.subnet, strict=False)

    async def _remove(self, network: NetworkAnswer) -> None:
        try:
            await self._delete(network.id)
        except RuntimeFault as fault:
            if fault.kind is not FaultKind.CONFLICT:
                raise
            if await self._clear(network.id):
                await self._delete(network.id)

    async def _delete(self, network_id: str) -> None:
        try:
            await self._engine.remove_network(network_id)
        except RuntimeFault as fault:
            if fault.kind is not FaultKind.MISSING:
                raise

    async def _clear(self, network_id: str) -> bool:
        """Ends what an engine that crashed left connected. False: a container really runs there."""
        for container_id in (await self._engine.inspect_network(network_id)).containers:
            if await self._runs(container_id):
                return False
            log.warning("stale_endpoint_removed", extra={"network": network_id, "container": container_id})
            await self._engine.disconnect_network(network_id, container_id)
        return True

    async def _runs(self, container_id: str) -> bool:
        try:
            return (await self._engine.inspect_container(container_id)).state.is_running
        except RuntimeFault as fault:
            if fault.kind is FaultKind.MISSING:
                return False
            raise


def network_config(node_id: str, rental_id: str, subnet: ipaddress.IPv4Network) -> Mapping[str, Json]:
    """The body of the engine's call that makes a rental's network."""
    return {
        "Name": network_name(rental_id),
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": False,
        "Attachable": False,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet)}]},
        "Options": {
            # The firewall knows the node's bridges by the beginning of their names.
            "com.docker.network.bridge.name": bridge_name(node_id, rental_id),
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        },
        "Labels": _labels(node_id, rental_id),
    }


def _labels(node_id: str, rental_id: str) -> dict[str, str]:
    return {LABEL_NODE: node_id, LABEL_RENTAL: rental_id}


def _routes_within(network_range: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    """Routes of the host into parts of the range, e.g. of a VPN: an instance must not take their place."""
    return [route for route in _routes() if route.subnet_of(network_range) and route != network_range]


def overlapped_route(network_range: ipaddress.IPv4Network) -> str | None:
    """A route that the whole range lies in: a rental's narrower one hides a part of it from the host."""
    return next((str(route) for route in _routes() if network_range.subnet_of(route)), None)


def _routes() -> list[ipaddress.IPv4Network]:
    try:
        lines = ROUTES_FILE.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    return [route for route in map(parse_route, lines) if route.prefixlen > 0]


def parse_route(line: str) -> ipaddress.IPv4Network:
    """One line of /proc/net/route; its addresses are little-endian hexadecimal."""
    fields = line.split()
    address, mask = (int.from_bytes(bytes.fromhex(fields[column]), "little") for column in (1, 7))
    return ipaddress.IPv4Network((address, mask.bit_count()))
