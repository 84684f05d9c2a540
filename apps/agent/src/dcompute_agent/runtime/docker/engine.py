"""The Docker engine's API as the runtime needs it: every call with a time limit, every answer checked.

The calls go through aiodocker; where it hides what we must see (that a stream broke, which connection to close), they
go through its session.
"""
# pyright: reportUnknownMemberType=false
# aiodocker annotates only a part of its methods; nothing of it leaves this file unchecked.

import base64
import io
import json
import tarfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus

import aiohttp
from aiodocker import Docker
from pydantic import TypeAdapter, ValidationError

from ...protocol.models import RegistryAuth
from ..base import FaultKind, RuntimeFault
from ..profile import Json
from .answers import (
    ContainerAnswer,
    ContainerSummary,
    ErrorAnswer,
    EventMessage,
    ImageAnswer,
    InfoAnswer,
    NetworkAnswer,
    PullMessage,
    VersionAnswer,
)
from .faults import bounded, fault_of_status

#: What this code was written against; a newer engine still speaks it.
NEWEST_API = (1, 47)
OLDEST_API = (1, 41)
CONNECT_S = 5.0
QUICK_S = 15.0
CHANGE_S = 60.0
FILES_S = 60.0
#: A stop returns after the grace, a SIGKILL and the engine's own clearing up.
STOP_MARGIN_S = 30.0
#: A pull says something all the time while it makes progress.
PULL_SILENCE_S = 300.0
#: A stream of events without any is opened anew, since an engine that hangs looks the same.
EVENTS_SILENCE_S = 300.0
MAX_FILE_BYTES = 64 * 1024
#: Such a file in its archive: headers before it, padding after it.
MAX_ARCHIVE_BYTES = MAX_FILE_BYTES + 16 * 1024
#: One line of a stream; the labels of an image stand in every event of its containers.
MAX_LINE_BYTES = 1024 * 1024
SUMMARY_KEYS = ("Id", "Labels", "State", "Ports")
SUMMARIES = TypeAdapter(list[ContainerSummary])
NETWORKS = TypeAdapter(list[NetworkAnswer])


class Engine:
    """A connection to one engine; made at first use."""

    def __init__(self, docker_host: str) -> None:
        self._host = docker_host
        self._connection: Docker | None = None

    @property
    def is_local(self) -> bool:
        """The engine runs on this machine, in this network namespace as far as one can tell."""
        return self._host.startswith("unix://")

    async def close(self) -> None:
        """Closes the connection; the next call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def version(self) -> VersionAnswer:
        """The engine's version. Agrees on the version of the API: raises RuntimeFault(REFUSED) for one too old."""
        async with bounded("version", QUICK_S):
            answer = VersionAnswer.model_validate(await self._docker.version())
        offered = _api(answer.api_version)
        if offered < OLDEST_API:
            raise RuntimeFault(FaultKind.REFUSED, f"Docker {answer.version} is too old: 20.10 or newer is needed")
        self._docker.api_version = "v{}.{}".format(*min(offered, NEWEST_API))
        return answer

    async def info(self) -> InfoAnswer:
        """What the engine can do."""
        async with bounded("info", QUICK_S):
            return InfoAnswer.model_validate(await self._docker.system.info())

    async def list_containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """All containers, running or not, with all these labels."""
        filters = json.dumps({"label": _label_filters(labels)})
        async with bounded("list containers", QUICK_S):
            found = await self._docker.containers.list(all=True, filters=filters)
            return SUMMARIES.validate_python([{key: one[key] for key in SUMMARY_KEYS} for one in found])

    async def inspect_container(self, name_or_id: str) -> ContainerAnswer:
        """One container. Raises RuntimeFault(MISSING)."""
        async with bounded("inspect container", QUICK_S):
            return ContainerAnswer.model_validate(await self._docker.containers.container(name_or_id).show())

    async def create_container(self, name: str, config: Mapping[str, Json]) -> str:
        """Makes a container; returns its id.

        Raises RuntimeFault: CONFLICT when the name is taken, MISSING when the image is not there.
        """
        async with bounded("create container", CHANGE_S):
            return (await self._docker.containers.create(config, name=name)).id

    async def start_container(self, container_id: str) -> None:
        """Starts a container; one that runs is left alone."""
        async with bounded("start container", CHANGE_S):
            await self._docker.containers.container(container_id).start()

    async def stop_container(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, after the grace SIGKILL; returns when the container has ended."""
        async with bounded("stop container", grace_s + STOP_MARGIN_S):
            await self._docker.containers.container(container_id).stop(t=grace_s)

    async def remove_container(self, container_id: str) -> None:
        """Kills and removes a container and its volumes. Raises RuntimeFault(MISSING)."""
        async with bounded("remove container", CHANGE_S):
            await self._docker.containers.container(container_id).delete(force=True, v=True)

    async def put_files(self, container_id: str, archive: bytes) -> None:
        """Unpacks a tar archive at the root of a container."""
        async with bounded("copy files", FILES_S):
            await self._docker.containers.container(container_id).put_archive("/", io.BytesIO(archive))

    async def read_file(self, container_id: str, path: str) -> bytes | None:
        """A small file of a container; None where there is none, or something else, or a large one.

        An image decides what is there, so no more is read than a small file takes.
        """
        docker = self._docker
        url = f"{docker.docker_host}/{docker.api_version}/containers/{container_id}/archive"
        async with bounded("read file", QUICK_S):
            response = await docker.session.get(url, params={"path": path})
            try:
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise fault_of_status(response.status, _message_of(await response.text()))
                archive = bytearray()
                while len(archive) < MAX_ARCHIVE_BYTES and (chunk := await response.content.readany()):
                    archive += chunk
            finally:
                response.close()
        return _small_file(bytes(archive))

    async def inspect_image(self, reference: str) -> ImageAnswer | None:
        """An image that is present, or None."""
        try:
            async with bounded("inspect image", QUICK_S):
                return ImageAnswer.model_validate(await self._docker.images.inspect(reference))
        except RuntimeFault as fault:
            # What is no valid reference cannot be present either; a pull says so.
            if fault.kind in (FaultKind.MISSING, FaultKind.REFUSED):
                return None
            raise

    async def pull(
        self, repository: str, tag_or_digest: str, login: RegistryAuth | None
    ) -> AsyncGenerator[PullMessage, None]:
        """Pulls an image; closing the generator ends the pull. A message with an error is the last one."""
        params = {"fromImage": repository, "tag": tag_or_digest}
        headers = {"X-Registry-Auth": _encode_login(login)} if login else {}
        lines = self._lines("pull", "POST", "images/create", params, headers, PULL_SILENCE_S)
        async with aclosing(lines):
            async for line in lines:
                if line.strip():
                    yield PullMessage.model_validate_json(line)

    async def events(
        self, since: float, filters: Mapping[str, Sequence[str]]
    ) -> AsyncGenerator[EventMessage | None, None]:
        """None once the engine is watched, then its events from `since` (seconds, the engine's clock) on."""
        params = {"since": f"{since:.6f}", "filters": json.dumps(filters)}
        lines = self._lines("watch", "GET", "events", params, {}, EVENTS_SILENCE_S)
        async with aclosing(lines):
            async for line in lines:
                yield EventMessage.model_validate_json(line) if line.strip() else None

    async def list_networks(self, labels: Mapping[str, str] | None = None) -> list[NetworkAnswer]:
        """Networks with all these labels; without labels all networks of the engine."""
        filters = {"label": _label_filters(labels)} if labels else None
        async with bounded("list networks", QUICK_S):
            return NETWORKS.validate_python(await self._docker.networks.list(filters=filters))

    async def inspect_network(self, network_id: str) -> NetworkAnswer:
        """One network with its containers. Raises RuntimeFault(MISSING)."""
        async with bounded("inspect network", QUICK_S):
            network = await self._docker.networks.get(network_id)
            return NetworkAnswer.model_validate(await network.show())

    async def create_network(self, config: Mapping[str, Json]) -> str:
        """Makes a network; returns its id. Raises RuntimeFault(CONFLICT) when name or addresses are taken."""
        async with bounded("create network", CHANGE_S):
            return (await self._docker.networks.create(dict(config))).id

    async def remove_network(self, network_id: str) -> None:
        """Removes a network. Raises RuntimeFault(CONFLICT) when it is in use, MISSING when it is gone."""
        async with bounded("remove network", CHANGE_S):
            await (await self._docker.networks.get(network_id)).delete()

    async def connect_network(self, network_id: str, container_id: str) -> None:
        """Makes a container part of a network."""
        async with bounded("connect network", CHANGE_S):
            await (await self._docker.networks.get(network_id)).connect({"Container": container_id})

    async def disconnect_network(self, network_id: str, container_id: str) -> None:
        """Ends a container's part in a network, even if the engine has lost sight of one of them."""
        async with bounded("disconnect network", CHANGE_S):
            network = await self._docker.networks.get(network_id)
            await network.disconnect({"Container": container_id, "Force": True})

    @property
    def _docker(self) -> Docker:
        if self._connection is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
            self._connection = Docker(url=self._host, timeout=timeout)
        return self._connection

    async def _lines(
        self,
        what: str,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        silence_s: float,
    ) -> AsyncGenerator[bytes, None]:
        """An empty line once the engine answers, then the lines of its stream. Closing the generator hangs up."""
        docker = self._docker
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        async with bounded(what, None):
            response = await docker.session.request(
                method,
                f"{docker.docker_host}/{docker.api_version}/{path}",
                params=params,
                headers=headers,
                timeout=timeout,
                read_bufsize=MAX_LINE_BYTES,
            )
            try:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise fault_of_status(response.status, _message_of(await response.text()))
                yield b""
                async for line in response.content:
                    yield line
            finally:
                response.close()


def _api(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _label_filters(labels: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in labels.items()]


def _encode_login(login: RegistryAuth) -> str:
    fields = {"username": login.username, "password": login.password, "serveraddress": login.server}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode("ascii")


def _message_of(body: str) -> str:
    try:
        return ErrorAnswer.model_validate_json(body).message
    except ValidationError:
        return body


def _small_file(archive: bytes) -> bytes | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.next()
            if member is None or not member.isfile() or member.size > MAX_FILE_BYTES:
                return None
            content = tar.extractfile(member)
            return content.read() if content is not None else None
    except tarfile.TarError:
        return None
