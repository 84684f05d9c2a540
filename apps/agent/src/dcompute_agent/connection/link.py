"""Keeps a session with the backend, for as long as the backend wants one."""

import asyncio
import ipaddress
import logging
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from .. import AGENT_VERSION
from ..clock import Clock
from ..journal import JournalError
from ..runtime.base import RuntimeFault
from ..wire import MAX_MESSAGE_BYTES
from .backoff import After, CloseCode, after_close, after_status, pause_s
from .dialogue import Dialogue, OtherNodeError, SessionClosedError
from .outbox import Outbox
from .reports import Reports
from .session import Session

log = logging.getLogger(__name__)

OPEN_LIMIT_S = 10.0
CLOSE_LIMIT_S = 3.0
PING_INTERVAL_S = 10.0
PING_LIMIT_S = 10.0
#: Frames that wait to be read; past that the socket is not read, and TCP holds the backend back.
MAX_FRAMES_WAITING = 16
#: A session that lasted this long ends an outage.
STABLE_SESSION_MS = 10_000


class LinkState(StrEnum):
    """How the connection stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    #: A newer session of this node took over.
    FENCED = "fenced"
    #: The backend does not want this node.
    REFUSED = "refused"
    CLOSED = "closed"


class Link:
    """The one connection of the node. `run` never returns by itself."""

    def __init__(
        self,
        *,
        url: str,
        host_key: str,
        make_dialogue: Callable[[str, Outbox], Dialogue],
        reports: Reports,
        on_session_end: Callable[[], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._url = url
        self._host_key = host_key
        self._make_dialogue = make_dialogue
        self._reports = reports
        self._on_session_end = on_session_end
        self._clock = clock
        self._rng = rng
        self._session: Session | None = None
        self._outage_began_ms = clock.boot_ms()
        self._attempt = 0
        self.state = LinkState.CONNECTING
        #: Why there is no session, for people.
        self.problem: str | None = None

    async def run(self) -> None:
        """Connects again and again. Returns when the backend has asked for that not to be done."""
        while True:
            after = await self._attempt_session()
            if after in (After.STAND_BACK, After.GIVE_UP):
                self.state = LinkState.FENCED if after is After.STAND_BACK else LinkState.REFUSED
                log.error("connection_given_up", extra={"state": self.state.value, "problem": self.problem})
                return
            outage_s = (self._clock.boot_ms() - self._outage_began_ms) / 1000
            pause = pause_s(after, attempt=self._attempt, outage_s=outage_s, rng=self._rng)
            self._attempt += 1
            self.state = LinkState.WAITING
            log.info("connection_lost", extra={"problem": self.problem, "pause_s": round(pause, 2)})
            await asyncio.sleep(pause)

    def beat_soon(self) -> None:
        """Something in the next beat should not wait for its time."""
        if self._session is not None:
            self._session.beat_soon()

    async def renew(self, reason: str) -> None:
        """Ends the session, so that the next hello tells what changed."""
        if self._session is not None:
            await self._session.close(CloseCode.GOING_AWAY, reason)

    async def _attempt_session(self) -> After:
        """One session from dialing to its end, and what should follow."""
        self.state = LinkState.CONNECTING
        began_ms: int | None = None
        after = After.RECONNECT
        try:
            async with self._dial() as socket:
                outbox = Outbox()
                dialogue = self._make_dialogue(str(uuid.uuid4()), outbox)
                session = Session(socket, dialogue, outbox)
                try:
                    welcome = await session.greet()
                    await dialogue.begin(welcome)
                    self._reports.attach(outbox)
                    began_ms = self._clock.boot_ms()
                    self._session, self.state, self.problem = session, LinkState.CONNECTED, None
                    log.info("connected", extra={"node": welcome.node_id, "session_epoch": welcome.session_epoch})
                    await session.converse(welcome)
                except (SessionClosedError, OtherNodeError, TimeoutError) as error:
                    code = error.code if isinstance(error, SessionClosedError) else CloseCode.GOING_AWAY
                    await session.close(code, str(error) or "no answer in time")
                    raise
                except asyncio.CancelledError:
                    await session.close(CloseCode.GOING_AWAY, "the agent ends")
                    raise
                finally:
                    self._session = None
                    self.state = LinkState.WAITING
                    self._reports.detach()
                    self._on_session_end()
        except ConnectionClosed as error:
            code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (CloseCode.ABNORMAL, "")
            self.problem = f"closed by the backend: {code} {reason}".strip()
            after = after_close(code)
        except InvalidStatus as error:
            body = (error.response.body or b"").decode("utf-8", errors="replace")[:300]
            self.problem = f"refused by the backend: HTTP {error.response.status_code} {body}".strip()
            after = after_status(error.response.status_code)
        except OtherNodeError as error:
            self.problem = f"{error}; use a state directory of its own for each backend"
            after = After.GIVE_UP
        except SessionClosedError as error:
            self.problem, after = str(error), after_close(error.code)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, JournalError, RuntimeFault) as error:
            self.problem = f"{type(error).__name__}: {error}"
        self._note_end(began_ms)
        return after

    def _note_end(self, began_ms: int | None) -> None:
        now_ms = self._clock.boot_ms()
        if began_ms is not None and now_ms - began_ms >= STABLE_SESSION_MS:
            self._outage_began_ms, self._attempt = now_ms, 0

    def _dial(self) -> connect:
        return connect(
            self._url,
            additional_headers={"Authorization": f"Bearer {self._host_key}"},
            user_agent_header=f"dcompute-agent/{AGENT_VERSION}",
            # A proxy of the environment is for the world outside, never for this machine.
            proxy=None if _is_loopback(self._url) else True,
            compression=None,
            open_timeout=OPEN_LIMIT_S,
            close_timeout=CLOSE_LIMIT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_LIMIT_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=MAX_FRAMES_WAITING,
            create_connection=ClientConnection,
        )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
