"""The SSH server of a simulated instance: real to whoever probes it, with nothing behind it."""

from collections.abc import Callable, Sequence

import asyncssh

from .base import FaultKind, RuntimeFault

VERSION = "Simulated"
MAX_CONNECTIONS = 64
LOGIN_S = 30
NOTICE = "This instance is simulated: there is no machine behind it.\n"


class SimulatedSsh:
    """Listens on a loopback port with the rental's host key, lets the renter in, and says that there is nothing."""

    def __init__(self, host_key: str, authorized_keys: Callable[[], Sequence[str]]) -> None:
        """Raises RuntimeFault(REFUSED) for a host key that cannot be read."""
        try:
            self._host_key = asyncssh.import_private_key(host_key)
        except asyncssh.KeyImportError as error:
            raise RuntimeFault(FaultKind.REFUSED, f"the host key cannot be read: {error}") from error
        self._authorized_keys = authorized_keys
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def open(self) -> int:
        """Begins to listen; returns the port."""
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(self._connections, self._authorized_keys),
            server_host_keys=[self._host_key],
            server_version=VERSION,
            process_factory=_say_notice,
            login_timeout=LOGIN_S,
            allow_scp=False,
            agent_forwarding=False,
        )
        return self._acceptor.get_port()

    async def close(self) -> None:
        """Closes the port and every connection."""
        if self._acceptor is not None:
            self._acceptor.close()
            for connection in list(self._connections):
                connection.abort()
            await self._acceptor.wait_closed()


class _Door(asyncssh.SSHServer):
    """One connection: public keys only."""

    def __init__(
        self, connections: set[asyncssh.SSHServerConnection], authorized_keys: Callable[[], Sequence[str]]
    ) -> None:
        self._connections = connections
        self._authorized_keys = authorized_keys
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            conn.abort()
            return
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        if self._connection is not None:
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys("\n".join(self._authorized_keys())))
        return True

    def public_key_auth_supported(self) -> bool:
        return True


def _say_notice(process: asyncssh.SSHServerProcess[str]) -> None:
    process.stdout.write(NOTICE)
    process.exit(0)
