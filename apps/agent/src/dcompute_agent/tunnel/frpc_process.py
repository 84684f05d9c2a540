"""One frpc process: started detached, adopted by a later agent, ended on demand."""

import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ..process import ProcessRef, find_processes, spawn_detached
from ..protocol.models import ProxyServerAccess
from .frpc_config import LOOPBACK, AdminAccess, LinkFiles, fingerprint, render_config

END_GRACE_S = 5.0


class ProcessNote(BaseModel):
    """What a later agent needs to adopt the process, or to start it again before the backend is heard."""

    proxy_server_id: str
    node_id: str
    boot_id: str
    fingerprint: str
    admin_port: int
    admin_user: str
    admin_password: str
    pid: int
    start_time: int

    @property
    def process(self) -> ProcessRef:
        """The process."""
        return ProcessRef(self.pid, self.start_time)

    @property
    def admin(self) -> AdminAccess:
        """How to reach its API."""
        return AdminAccess(self.admin_port, self.admin_user, self.admin_password)


@dataclass(frozen=True, slots=True)
class Launch:
    """What frpc is started with."""

    node_id: str
    server: ProxyServerAccess

    @property
    def fingerprint(self) -> str:
        """Equal as long as frpc need not be restarted."""
        return fingerprint(self.node_id, self.server)


class FrpcProcess:
    """The files and the process of one proxy server."""

    def __init__(self, binary: Path, folder: Path, boot_id: str) -> None:
        self._binary = binary
        self._boot_id = boot_id
        self.files = LinkFiles(folder)
        self.note: ProcessNote | None = None

    def read_note(self) -> ProcessNote | None:
        """What an earlier agent left; None when there is nothing of use."""
        try:
            self.note = ProcessNote.model_validate_json(self.files.process.read_bytes())
        except (OSError, ValidationError):
            self.note = None
        return self.note

    def is_alive(self) -> bool:
        """The process runs; a pid of an earlier boot names nothing."""
        return self.note is not None and self.note.boot_id == self._boot_id and self.note.process.is_alive()

    async def start(self, launch: Launch) -> ProcessNote:
        """Ends what runs and starts frpc anew; its store is kept within one boot. Raises OSError."""
        kept_boot = self.note is not None and self.note.boot_id == self._boot_id
        await self.end()
        self._prepare_folder()
        if not kept_boot:
            # After a reboot the loopback ports that stored proxies lead to may belong to anything.
            self.files.store.unlink(missing_ok=True)
        admin = AdminAccess(self._admin_port(), "agent", secrets.token_urlsafe(24))
        _write_private(self.files.ca, launch.server.ca_pem)
        _write_private(self.files.config, render_config(launch.node_id, launch.server, admin, self.files))
        return self._spawn(launch.server.id, launch.node_id, launch.fingerprint, admin)

    async def restart(self) -> ProcessNote:
        """Starts frpc with the files that are there. Raises OSError."""
        note = self.note
        if note is None:
            raise FileNotFoundError("frpc was never configured")
        await self.end()
        if note.boot_id != self._boot_id:
            self.files.store.unlink(missing_ok=True)
        return self._spawn(note.proxy_server_id, note.node_id, note.fingerprint, note.admin)

    async def end(self) -> None:
        """Ends the process, and any other that runs on our configuration file."""
        known = [self.note.process] if self.note is not None and self.is_alive() else []
        # An agent that was killed between spawn and note left a process that no note names.
        for process in {*known, *find_processes(self._arguments)}:
            await process.end(END_GRACE_S)

    def erase(self) -> None:
        """Removes the files, and with them the secrets."""
        shutil.rmtree(self.files.folder, ignore_errors=True)
        self.note = None

    @property
    def _arguments(self) -> list[str]:
        return ["-c", str(self.files.config)]

    def _prepare_folder(self) -> None:
        self.files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _admin_port(self) -> int:
        """The port of last time if it is free, else any."""
        preferred = self.note.admin_port if self.note is not None else 0
        for port in (preferred, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise OSError("no port is free on loopback")

    def _spawn(self, proxy_server_id: str, node_id: str, print_: str, admin: AdminAccess) -> ProcessNote:
        # Only what frpc needs: the host key in our own environment is none of its business.
        environment: Mapping[str, str] = {"PATH": os.environ.get("PATH", "")}
        process = spawn_detached([str(self._binary), *self._arguments], environment, self.files.output)
        self.note = ProcessNote(
            proxy_server_id=proxy_server_id,
            node_id=node_id,
            boot_id=self._boot_id,
            fingerprint=print_,
            admin_port=admin.port,
            admin_user=admin.user,
            admin_password=admin.password,
            pid=process.pid,
            start_time=process.start_time,
        )
        _write_private(self.files.process, self.note.model_dump_json())
        return self.note

    def last_words(self) -> str:
        """What frpc printed before it ended."""
        try:
            return self.files.output.read_text(encoding="utf-8", errors="replace").strip()[-300:]
        except OSError:
            return ""

    def log_tail(self, limit: int = 16_384) -> str:
        """The end of frpc's log."""
        try:
            with self.files.log.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - limit))
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def notes_in(folder: Path) -> list[Path]:
    """The folders that an earlier agent left."""
    return sorted(path.parent for path in folder.glob("*/process.json"))


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others."""
    temporary = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.rename(path)
