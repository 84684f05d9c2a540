"""A real frps for the tests, with a certificate of its own."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dcompute_agent.protocol.models import ProxyServerAccess

from .waiting import until

SERVER_NAME = "frps.test.internal"
AUTH_TOKEN = "shared-token"


def binary(variable: str, name: str) -> Path:
    """A program of the tools module, named by the environment or found on the path."""
    found = os.environ.get(variable) or shutil.which(name)
    assert found, f"{variable} must name the {name} binary"
    return Path(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Certificates:
    folder: Path
    ca_pem: str = field(init=False)

    def __post_init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName(SERVER_NAME), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.ca_pem = pem.decode()
        (self.folder / "tls.crt").write_bytes(pem)
        (self.folder / "tls.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


@dataclass
class Frps:
    """One running frps."""

    folder: Path
    bind_port: int
    vhost_port: int
    ca_pem: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            binary("DCOMPUTE_FRPS", "frps"),
            "-c",
            str(self.folder / "frps.json"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(lambda: accepts(self.bind_port), what="frps to listen")

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def access(self, server_id: str = "proxy-1", ca_pem: str | None = None) -> ProxyServerAccess:
        return ProxyServerAccess(
            id=server_id,
            host="127.0.0.1",
            bind_port=self.bind_port,
            server_name=SERVER_NAME,
            ca_pem=self.ca_pem if ca_pem is None else ca_pem,
            auth_token=AUTH_TOKEN,
            node_token="own {{ .Envs.PATH }} token",
        )


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.asynccontextmanager
async def running_frps(folder: Path) -> AsyncGenerator[Frps]:
    """frps as production runs it, without its guard."""
    folder.mkdir(parents=True, exist_ok=True)
    certificates = Certificates(folder)
    frps = Frps(folder, free_port(), free_port(), certificates.ca_pem)
    config = {
        "bindAddr": "127.0.0.1",
        "proxyBindAddr": "127.0.0.1",
        "bindPort": frps.bind_port,
        "vhostHTTPPort": frps.vhost_port,
        "subDomainHost": "apps.test.internal",
        "transport": {
            "tcpMux": False,
            "heartbeatTimeout": 30,
            "maxPoolCount": 5,
            "tls": {
                "force": True,
                "certFile": str(folder / "tls.crt"),
                "keyFile": str(folder / "tls.key"),
            },
        },
        "auth": {"method": "token", "token": AUTH_TOKEN, "additionalScopes": ["HeartBeats", "NewWorkConns"]},
        "detailedErrorsToClient": True,
        "log": {"level": "error"},
    }
    (folder / "frps.json").write_text(json.dumps(config))
    await frps.start()
    try:
        yield frps
    finally:
        await frps.kill()
