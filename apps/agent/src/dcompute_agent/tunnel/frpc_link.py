"""The connection to one proxy server: an frpc that is kept alive, and the tunnels through it."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..protocol.models import Tunnel, TunnelState
from .base import TunnelFault
from .frpc_api import RUNNING, START_ERROR, FrpcApi, ProxyStatus, login_state
from .frpc_config import Proxy, proxy_of
from .frpc_process import FrpcProcess, Launch

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
#: frpc answers on loopback within this time of its start.
START_LIMIT_S = 5.0
OPEN_LIMIT_S = 15.0
FIRST_POLL_S, LAST_POLL_S = 0.005, 0.2
#: A proxy added while frpc logs in can be missed by it; then it is added once more.
UNSEEN_LIMIT_S = 2.0
RETRY_FIRST_S, RETRY_LAST_S = 1.0, 30.0
DISCARD_LIMIT_S = 6.0


@dataclass(slots=True)
class OpenTunnel:
    """A tunnel that was seen open and shall stay so."""

    proxy: Proxy
    #: Waits between two tries while the proxy server refuses it.
    retry_s: float = RETRY_FIRST_S
    retry_at: float = 0.0


class FrpcLink:
    """Owns one frpc process. `ensure` and `adopt` start it, `detach` lets it live on, `shut_down` ends it."""

    def __init__(self, proxy_server_id: str, process: FrpcProcess) -> None:
        self._id = proxy_server_id
        self._process = process
        self._api: FrpcApi | None = None
        self._open: dict[str, OpenTunnel] = {}
        self._connected = False
        self._error: str | None = None
        self._changing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None

    @property
    def opened(self) -> Mapping[str, int]:
        """Local port of each open tunnel."""
        return {name: entry.proxy.local_port for name, entry in self._open.items()}

    @property
    def state(self) -> TunnelState:
        """The connection to the proxy server."""
        error = None if self._connected or self._error is None else self._error[:400]
        return TunnelState(proxy_server_id=self._id, connected=self._connected, error=error)

    async def adopt(self) -> None:
        """Takes over what an earlier agent left; starts it again when it has died. Raises TunnelFault."""
        try:
            async with self._changing:
                await self._reach()
        finally:
            self._start_watch()

    async def ensure(self, launch: Launch) -> None:
        """Runs frpc with this configuration; one that runs with it already is not touched. Raises TunnelFault."""
        try:
            async with self._changing:
                note = self._process.note
                if note is None or note.fingerprint != launch.fingerprint or not self._process.is_alive():
                    await self._start(launch)
        finally:
            self._start_watch()

    async def open(self, tunnel: Tunnel, local_port: int) -> None:
        """Returns when the proxy server listens. Raises TunnelFault; then nothing of the tunnel is left."""
        name = tunnel.proxy_name
        try:
            proxy = proxy_of(tunnel, local_port)
        except ValueError as error:
            raise TunnelFault(str(error)) from error
        api = self._ready()
        known = self._open.get(name)
        if known is not None and known.proxy == proxy:
            return
        self._open.pop(name, None)
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                async with self._changing:
                    await api.put(proxy)
                await self._until_running(api, name)
        except BaseException as error:
            await self._discard(api, name)
            if isinstance(error, TimeoutError):
                raise TunnelFault(f"the proxy server did not open {name}: {self._error or 'no answer'}") from error
            raise
        self._open[name] = OpenTunnel(proxy)

    async def close(self, name: str) -> None:
        """Removes a tunnel. Raises TunnelFault."""
        if name not in self._open:
            return
        async with self._changing:
            await self._ready().delete(name)
            self._open.pop(name, None)

    async def detach(self) -> None:
        """Stops looking after frpc; it lives on."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._let_go()

    async def shut_down(self) -> None:
        """Ends frpc and removes its files."""
        await self.detach()
        async with self._changing:
            await self._process.end()
            self._process.erase()
            self._open.clear()
            self._connected = False

    def _ready(self) -> FrpcApi:
        if self._api is None:
            raise TunnelFault(f"frpc of proxy server {self._id} does not run: {self._error or 'not started'}")
        return self._api

    def _fault(self, message: str) -> TunnelFault:
        self._error, self._connected = message, False
        return TunnelFault(message)

    async def _start(self, launch: Launch | None) -> None:
        """Starts frpc, with the files that are there when no launch is given. Raises TunnelFault."""
        await self._let_go()
        try:
            await (self._process.restart() if launch is None else self._process.start(launch))
        except OSError as error:
            raise self._fault(f"frpc cannot be started: {error}") from error
        await self._take_over()

    async def _reach(self) -> None:
        """Has a process that answers. Raises TunnelFault."""
        if self._process.is_alive():
            try:
                await self._take_over()
            except TunnelFault as fault:
                log.warning("frpc_not_adopted", extra={"proxy_server": self._id, "error": str(fault)})
            else:
                return
        await self._start(None)

    async def _take_over(self) -> None:
        """Connects to the API of the running process and reads what it has open."""
        note = self._process.note
        if note is None:
            raise self._fault("frpc was never configured")
        api = FrpcApi(note.admin)
        try:
            stored = await self._first_answer(api)
        except BaseException:
            await api.close()
            raise
        self._api = api
        self._open = {name: OpenTunnel(proxy) for name, proxy in stored.items()}

    async def _first_answer(self, api: FrpcApi) -> Mapping[str, Proxy]:
        deadline = time.monotonic() + START_LIMIT_S
        poll_s = FIRST_POLL_S
        while True:
            try:
                return await api.stored()
            except TunnelFault as fault:
                if not self._process.is_alive():
                    raise self._fault(f"frpc ended: {self._process.last_words() or 'no message'}") from fault
                if time.monotonic() > deadline:
                    raise self._fault(str(fault)) from fault
            await asyncio.sleep(poll_s)
            poll_s = min(poll_s * 2, LAST_POLL_S)

    async def _let_go(self) -> None:
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def _until_running(self, api: FrpcApi, name: str) -> None:
        poll_s, added_at = FIRST_POLL_S, time.monotonic()
        while True:
            status = (await api.statuses()).get(name)
            if status is not None and status.status == RUNNING:
                self._connected = True
                return
            if status is not None and status.status == START_ERROR:
                raise TunnelFault(f"the proxy server refused {name}: {status.err}")
            if status is None and self._connected and time.monotonic() - added_at > UNSEEN_LIMIT_S:
                raise TunnelFault(f"frpc missed {name}")
            await asyncio.sleep(poll_s)
            poll_s = min(poll_s * 2, LAST_POLL_S)

    async def _discard(self, api: FrpcApi, name: str) -> None:
        """Leaves nothing of a tunnel that did not open, also when its opening was cancelled."""
        removal = asyncio.ensure_future(api.delete(name))
        with suppress(TunnelFault, asyncio.CancelledError):
            await asyncio.wait([removal], timeout=DISCARD_LIMIT_S)
            await removal

    def _start_watch(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_for_ever(), name=f"frpc {self._id}")

    async def _watch_for_ever(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(min(WATCH_INTERVAL_S * 2**failures, RETRY_LAST_S))
            try:
                async with self._changing:
                    await self._look()
                failures = 0
            except (TunnelFault, OSError) as error:
                failures = min(failures + 1, 5)
                log.warning("frpc_faulty", extra={"proxy_server": self._id, "error": str(error)})

    async def _look(self) -> None:
        if not self._process.is_alive():
            self._connected = False
            log.warning("frpc_died", extra={"proxy_server": self._id, "output": self._process.last_words()})
            await self._start(None)
        elif self._api is None:
            await self._reach()
        api = self._ready()
        statuses = await api.statuses()
        logged_in = login_state(self._process.log_tail())
        if logged_in is not None:
            self._connected, self._error = logged_in
        elif any(status.status == RUNNING for status in statuses.values()):
            self._connected, self._error = True, None
        if self._connected:
            await self._retry_refused(api, statuses)

    async def _retry_refused(self, api: FrpcApi, statuses: Mapping[str, ProxyStatus]) -> None:
        """frpc itself waits 30 s after a refusal; a port that an old session still holds is free sooner."""
        now = time.monotonic()
        for name, entry in list(self._open.items()):
            status = statuses.get(name)
            if status is not None and status.status == RUNNING:
                entry.retry_s, entry.retry_at = RETRY_FIRST_S, 0.0
            elif (status is None or status.status == START_ERROR) and now >= entry.retry_at:
                entry.retry_at, entry.retry_s = now + entry.retry_s, min(entry.retry_s * 2, RETRY_LAST_S)
                await api.put(entry.proxy)
