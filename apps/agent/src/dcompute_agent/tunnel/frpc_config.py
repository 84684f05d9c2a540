"""What frpc is told: its configuration file, and the proxies that are added and removed while it runs. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..protocol.models import ProxyServerAccess, Tunnel, TunnelType

Json = str | int | bool | Sequence["Json"] | Mapping[str, "Json"]

LOOPBACK = "127.0.0.1"
#: frps cuts a client that has not pinged for 30 s.
HEARTBEAT_INTERVAL_S = 10
HEARTBEAT_TIMEOUT_S = 30
#: Connections that frps keeps ready, so that a user's first byte does not wait for a round trip.
POOL_COUNT = 2
LOG_DAYS = 3


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """How to reach frpc's own API on loopback."""

    port: int
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class LinkFiles:
    """The files of one frpc; all of them hold secrets, so their folder is closed to others."""

    folder: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        # JSON is one of frpc's own formats, and the only one that Python's library writes.
        return self.folder / "frpc.json"

    @property
    def ca(self) -> Path:
        """Whom the server's certificate must come from."""
        return self.folder / "ca.pem"

    @property
    def store(self) -> Path:
        """The proxies, written by frpc itself."""
        return self.folder / "store.json"

    @property
    def log(self) -> Path:
        """Written and rotated by frpc itself."""
        return self.folder / "frpc.log"

    @property
    def output(self) -> Path:
        """What frpc prints before it has a log."""
        return self.folder / "frpc.out"

    @property
    def process(self) -> Path:
        """The note by which a later agent adopts the process."""
        return self.folder / "process.json"


def folder_name(proxy_server_id: str) -> str:
    """A name for any id."""
    return hashlib.sha256(proxy_server_id.encode()).hexdigest()[:16]


def fingerprint(node_id: str, server: ProxyServerAccess) -> str:
    """Equal as long as frpc need not be restarted."""
    return hashlib.sha256(f"{node_id}\n{server.model_dump_json()}".encode()).hexdigest()


def render_config(node_id: str, server: ProxyServerAccess, admin: AdminAccess, files: LinkFiles) -> str:
    """The configuration file. frpc runs it through a template engine first, so no text of ours may open an action."""
    config: Mapping[str, Json] = {
        "serverAddr": server.host,
        "serverPort": server.bind_port,
        "user": node_id,
        "metadatas": {"node_token": server.node_token},
        # Tries for ever; by default it would end after its first refused login.
        "loginFailExit": False,
        "auth": {
            "method": "token",
            "token": server.auth_token,
            "additionalScopes": ["HeartBeats", "NewWorkConns"],
        },
        "transport": {
            # Every user connection has a TCP connection of its own: it outlives the loss of the control connection.
            "tcpMux": False,
            "poolCount": POOL_COUNT,
            "heartbeatInterval": HEARTBEAT_INTERVAL_S,
            "heartbeatTimeout": HEARTBEAT_TIMEOUT_S,
            # Without a CA file frpc would accept any certificate.
            "tls": {"enable": True, "trustedCaFile": str(files.ca), "serverName": server.server_name},
        },
        "webServer": {"addr": LOOPBACK, "port": admin.port, "user": admin.user, "password": admin.password},
        "store": {"path": str(files.store)},
        "log": {"to": str(files.log), "level": "info", "maxDays": LOG_DAYS, "disablePrintColor": True},
    }
    return json.dumps(config, indent=1).replace("{{", "\\u007b\\u007b")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy of frpc: a public port or host name, and the loopback port that it leads to."""

    name: str
    type: str
    local_port: int
    remote_port: int | None = None
    subdomain: str | None = None

    def definition(self) -> Mapping[str, Json]:
        """The body of a store call."""
        ends: dict[str, Json] = {"localIP": LOOPBACK, "localPort": self.local_port}
        if self.remote_port is not None:
            ends["remotePort"] = self.remote_port
        if self.subdomain is not None:
            ends["subdomain"] = self.subdomain
        return {"name": self.name, "type": self.type, self.type: ends}


def proxy_of(tunnel: Tunnel, local_port: int) -> Proxy:
    """The proxy that serves a tunnel. Raises ValueError for a tunnel that does not say where it begins."""
    if tunnel.type is TunnelType.TCP and tunnel.remote_port is not None:
        return Proxy(tunnel.proxy_name, "tcp", local_port, remote_port=tunnel.remote_port)
    if tunnel.type is TunnelType.HTTP and tunnel.subdomain is not None:
        return Proxy(tunnel.proxy_name, "http", local_port, subdomain=tunnel.subdomain)
    raise ValueError(f"tunnel {tunnel.proxy_name} names neither a port nor a host name")
