"""One place that says what an error of the engine means."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from aiodocker.exceptions import DockerError

from ..base import FaultKind, RuntimeFault

#: aiodocker's status for an engine that cannot be reached.
NOT_CONNECTED = 900
KIND_BY_STATUS = {
    400: FaultKind.REFUSED,
    # The engine forbids what the present state does not allow, e.g. to remove a network in use.
    403: FaultKind.CONFLICT,
    404: FaultKind.MISSING,
    409: FaultKind.CONFLICT,
    503: FaultKind.UNAVAILABLE,
    NOT_CONNECTED: FaultKind.UNAVAILABLE,
}
MAX_MESSAGE = 800


def fault_of_status(status: int, message: str) -> RuntimeFault:
    """The fault behind an HTTP status of the engine."""
    return RuntimeFault(KIND_BY_STATUS.get(status, FaultKind.INTERNAL), message.strip()[:MAX_MESSAGE])


@asynccontextmanager
async def bounded(what: str, limit_s: float | None) -> AsyncGenerator[None, None]:
    """Puts a time limit on a call to the engine (R9) and turns its errors into faults."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise RuntimeFault(FaultKind.UNAVAILABLE, f"{what}: the engine did not answer in time") from error
    except DockerError as error:
        raise fault_of_status(error.status, f"{what}: {error.message}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise RuntimeFault(FaultKind.UNAVAILABLE, f"{what}: {error or type(error).__name__}"[:MAX_MESSAGE]) from error
    except ValueError as error:
        message = f"{what}: the engine's answer makes no sense: {error}"
        raise RuntimeFault(FaultKind.INTERNAL, message[:MAX_MESSAGE]) from error
