"""Which errors are worth another try, when, and what a step that cannot succeed means for its instance."""

import random
from dataclasses import dataclass

from ..journal import JournalError
from ..protocol.models import RentalEndReason
from ..runtime.base import FaultKind, RuntimeFault
from ..tunnel.base import TunnelFault
from .steps import (
    AwaitReady,
    CloseTunnels,
    Create,
    FetchSpec,
    OpenTunnel,
    PullImage,
    Refresh,
    Remove,
    Settle,
    Start,
    Step,
    Stop,
    WriteKeys,
)

PERMANENT = frozenset({FaultKind.IMAGE_NOT_FOUND, FaultKind.REFUSED})
BACKOFF_FIRST_S = 0.25
BACKOFF_CAP_S = 30.0


class SpecMissing(Exception):
    """The backend did not send the spec in time."""


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """Limits of one kind of step."""

    #: Longest time for one attempt (R9); a stop's own grace comes on top.
    timeout_s: float
    #: Attempts before the instance is given up; None: the step is tried for ever, ever more slowly.
    attempts: int | None
    #: Why the instance failed when the attempts are used up.
    reason: RentalEndReason = RentalEndReason.START_FAILED
    #: Why it failed when the last attempt ran out of time.
    timeout_reason: RentalEndReason = RentalEndReason.PHASE_TIMEOUT


POLICIES: dict[type[Step], StepPolicy] = {
    Refresh: StepPolicy(30, None),
    FetchSpec: StepPolicy(15, None),
    PullImage: StepPolicy(3600, 4, RentalEndReason.PULL_FAILED, RentalEndReason.PULL_TIMEOUT),
    Create: StepPolicy(120, 4, RentalEndReason.CREATE_FAILED),
    Start: StepPolicy(60, 4, RentalEndReason.START_FAILED),
    WriteKeys: StepPolicy(30, None),
    OpenTunnel: StepPolicy(20, None),
    AwaitReady: StepPolicy(60, 1, RentalEndReason.START_FAILED),
    Stop: StepPolicy(60, None),
    Remove: StepPolicy(120, None),
    CloseTunnels: StepPolicy(20, None),
    Settle: StepPolicy(30, None),
}


def is_retryable(error: Exception) -> bool:
    """The one place that decides: everything but what the runtime says can never succeed, and our own defects."""
    if isinstance(error, RuntimeFault):
        return error.kind not in PERMANENT
    return isinstance(error, TunnelFault | TimeoutError | SpecMissing | JournalError | OSError)


def uses_up_attempt(error: Exception) -> bool:
    """An engine that is away, or a full disk under the journal, says nothing about the instance."""
    away = isinstance(error, RuntimeFault) and error.kind is FaultKind.UNAVAILABLE
    return not away and not isinstance(error, JournalError)


def failure_reason(step: Step, error: Exception) -> RentalEndReason:
    """Why an instance failed whose step cannot succeed."""
    policy = POLICIES[type(step)]
    if isinstance(error, RuntimeFault) and error.kind is FaultKind.IMAGE_NOT_FOUND:
        return RentalEndReason.IMAGE_NOT_FOUND
    return policy.timeout_reason if isinstance(error, TimeoutError) else policy.reason


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Wait before attempt `attempt` + 1 (the first is 1): doubling, capped, with jitter of half its length."""
    full = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** min(attempt - 1, 20))
    return full * rng.uniform(0.5, 1.0)
