"""A real registry on loopback, which an engine allows without TLS (Debian's docker-registry)."""

import base64
import gzip
import hashlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

START_S = 20.0
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """One registry with its own storage, ended with the tests."""

    def __init__(self, folder: Path, htpasswd: str | None = None, login: tuple[str, str] | None = None) -> None:
        program = shutil.which("docker-registry")
        assert program, "the tests need docker-registry (Debian package docker-registry)"
        self._headers = {"Authorization": f"Basic {_basic(login)}"} if login else {}
        self.port = _free_port()
        self.host = f"127.0.0.1:{self.port}"
        settings = folder / "registry.yml"
        settings.write_text(_settings(folder, self.port, htpasswd), encoding="utf-8")
        self._log = (folder / "registry.log").open("wb")
        self._process = subprocess.Popen([program, "serve", str(settings)], stdout=self._log, stderr=self._log)
        _wait_for(self.port, self._process)

    def push(self, name: str, layers: list[bytes]) -> str:
        """Puts an image of these layers there; returns its digest."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["FROM_REGISTRY=yes"], "Cmd": ["/bin/sh"], "StopSignal": "SIGQUIT"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer)) for layer in layers]},
        }
        blobs = [json.dumps(config).encode(), *layers]
        types = [CONFIG_TYPE, *(LAYER_TYPE for _ in layers)]
        repository, _, tag = name.partition(":")
        described = [
            {"mediaType": kind, "size": len(blob), "digest": self._put_blob(repository, blob)}
            for kind, blob in zip(types, blobs, strict=True)
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described[1:]}
        body = json.dumps(manifest).encode()
        self._request("PUT", f"/v2/{repository}/manifests/{tag}", body, MANIFEST_TYPE)
        return _digest(body)

    def close(self) -> None:
        """Ends the registry."""
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()

    def _put_blob(self, repository: str, blob: bytes) -> str:
        location = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        path = location.removeprefix(f"http://{self.host}")
        digest = _digest(blob)
        separator = "&" if "?" in path else "?"
        self._request("PUT", f"{path}{separator}digest={digest}", blob, "application/octet-stream")
        return digest

    def _request(self, method: str, path: str, body: bytes, kind: str) -> str:
        url = f"http://{self.host}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers={**self._headers, "Content-Type": kind})
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 -- http, built above
            return str(response.headers.get("Location", ""))


def _basic(login: tuple[str, str]) -> str:
    return base64.b64encode(":".join(login).encode()).decode("ascii")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _settings(folder: Path, port: int, htpasswd: str | None) -> str:
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}",
        f"http: {{addr: '127.0.0.1:{port}'}}",
    ]
    if htpasswd is not None:
        (folder / "htpasswd").write_text(htpasswd, encoding="utf-8")
        lines.append(f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}")
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the registry ended at its start"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the registry did not begin to serve")
