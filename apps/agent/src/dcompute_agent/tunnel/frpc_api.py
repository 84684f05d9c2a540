"""frpc's own API on loopback: proxies are added and removed one by one, so no other tunnel blinks."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from .base import TunnelFault
from .frpc_config import LOOPBACK, AdminAccess, Json, Proxy

CALL_TIMEOUT_S = 5.0
STORE = "/api/store/proxies"
RUNNING = "running"
START_ERROR = "start error"
#: frpc's log lines that tell whether it is logged in (0.70); the last one counts.
LOGIN_LINE = re.compile(
    r"(?P<up>login to server success)|connect to server error: (?P<error>.*)|(?P<down>try to connect to server\.\.\.)"
)


class ProxyStatus(BaseModel):
    """How one proxy does."""

    name: str
    status: str
    err: str = ""


class StoredPart(BaseModel):
    """The two ends of a stored proxy."""

    local_port: Annotated[int, Field(alias="localPort")]
    remote_port: Annotated[int | None, Field(alias="remotePort")] = None
    subdomain: str | None = None


class StoredProxy(BaseModel):
    """A proxy as frpc's store has it."""

    name: str
    tcp: StoredPart | None = None
    http: StoredPart | None = None

    def proxy(self) -> Proxy | None:
        """The proxy, if it is one of ours."""
        if self.tcp is not None:
            return Proxy(self.name, "tcp", self.tcp.local_port, remote_port=self.tcp.remote_port)
        if self.http is not None:
            return Proxy(self.name, "http", self.http.local_port, subdomain=self.http.subdomain)
        return None


class StoredProxies(BaseModel):
    """The whole store."""

    proxies: list[StoredProxy]


STATUS = TypeAdapter(dict[str, list[ProxyStatus]])


class FrpcApi:
    """Every call is bounded and raises TunnelFault."""

    def __init__(self, admin: AdminAccess) -> None:
        self._base = f"http://{LOOPBACK}:{admin.port}"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": aiohttp.encode_basic_auth(admin.user, admin.password)},
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S),
        )

    async def close(self) -> None:
        """Closes the connections to frpc."""
        await self._session.close()

    async def stored(self) -> Mapping[str, Proxy]:
        """What frpc's store holds, by name."""
        _, text = await self._call("GET", STORE)
        try:
            stored = StoredProxies.model_validate_json(text).proxies
        except ValidationError as error:
            raise TunnelFault(f"frpc's answer cannot be read: {error}") from error
        return {proxy.name: proxy for proxy in (entry.proxy() for entry in stored) if proxy is not None}

    async def statuses(self) -> Mapping[str, ProxyStatus]:
        """Every proxy that frpc works on; none while it is not logged in."""
        _, text = await self._call("GET", "/api/status")
        try:
            by_type = STATUS.validate_json(text)
        except ValidationError as error:
            raise TunnelFault(f"frpc's answer cannot be read: {error}") from error
        return {proxy.name: proxy for proxies in by_type.values() for proxy in proxies}

    async def put(self, proxy: Proxy) -> None:
        """Adds a proxy; one of the same name is replaced, which also makes frpc try at once."""
        status, _ = await self._call("POST", STORE, proxy.definition(), tolerated=HTTPStatus.CONFLICT)
        if status == HTTPStatus.CONFLICT:
            await self.delete(proxy.name)
            await self._call("POST", STORE, proxy.definition())

    async def delete(self, name: str) -> None:
        """Removes a proxy; an unknown one is ignored."""
        await self._call("DELETE", f"{STORE}/{quote(name, safe='')}", tolerated=HTTPStatus.NOT_FOUND)

    async def _call(
        self, method: str, path: str, body: Mapping[str, Json] | None = None, *, tolerated: HTTPStatus | None = None
    ) -> tuple[int, str]:
        """The status and the text of an answer. An error's status but the tolerated one is a fault."""
        try:
            async with self._session.request(method, self._base + path, json=body) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TunnelFault(f"frpc does not answer: {error or type(error).__name__}") from error
        if response.status >= HTTPStatus.BAD_REQUEST and response.status != tolerated:
            raise TunnelFault(f"frpc refused {method} {path}: {response.status} {text[:200]}")
        return response.status, text


def login_state(log_text: str) -> tuple[bool, str | None] | None:
    """Whether frpc is logged in, and what kept it from that; None when the log does not say."""
    error: str | None = None
    state: tuple[bool, str | None] | None = None
    for match in LOGIN_LINE.finditer(log_text):
        if match["up"]:
            error, state = None, (True, None)
        else:
            error = match["error"] or error
            state = (False, error)
    return state
