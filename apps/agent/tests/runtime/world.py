"""A little world around the host: a network namespace with addresses of the Internet, of a LAN and of a cloud."""

import subprocess
import sys
import time
import uuid

PUBLIC = "203.0.113.10"
LAN = "192.168.177.10"
METADATA = "169.254.169.254"
SERVER = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    listener = socket.create_server(("0.0.0.0", port))
    selector.register(listener, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"hello\\n")
        connection.close()
"""


class World:
    """Machines beyond the host that answer `hello` on some ports. Only the host has a way there."""

    def __init__(self, ports: tuple[int, ...]) -> None:
        self._name = f"dct{uuid.uuid4().hex[:8]}"
        _ip("netns", "add", self._name)
        try:
            self._connect()
            self._server = subprocess.Popen(
                ["ip", "netns", "exec", self._name, sys.executable, "-c", SERVER, *map(str, ports)],
                stdout=subprocess.PIPE,
            )
            assert self._server.stdout is not None
            assert self._server.stdout.readline() == b"listening\n"
        except BaseException:
            _ip("netns", "delete", self._name)
            raise

    def _connect(self) -> None:
        inside = ("netns", "exec", self._name, "ip")
        _ip("link", "add", self._name, "type", "veth", "peer", "name", "eth0", "netns", self._name)
        _ip("link", "set", self._name, "up")
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "link", "set", "eth0", "up")
        for address in (PUBLIC, LAN, METADATA):
            # The host's end is the next address; the world answers to it alone.
            prefix, _, last = address.rpartition(".")
            _ip("address", "add", f"{prefix}.{int(last) - 1}/32", "peer", f"{address}/32", "dev", self._name)
            _ip(*inside, "address", "add", f"{address}/32", "peer", f"{prefix}.{int(last) - 1}/32", "dev", "eth0")

    def close(self) -> None:
        """Takes the world away; its end of the cable takes the host's with it."""
        self._server.kill()
        self._server.wait(timeout=10)
        assert self._server.stdout is not None
        self._server.stdout.close()
        _ip("netns", "delete", self._name)
        deadline = time.monotonic() + 10
        while subprocess.run(["ip", "link", "show", self._name], capture_output=True, check=False).returncode == 0:
            assert time.monotonic() < deadline, "the world's cable did not go"
            time.sleep(0.05)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)
