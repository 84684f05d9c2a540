"""When to connect again, and when not to: pure."""

import random
from enum import StrEnum

#: Longest pause in the first minute of an outage, and after it (R10).
SHORT_PAUSE_S, LONG_PAUSE_S = 5.0, 30.0
FIRST_MINUTE_S = 60.0
FIRST_PAUSE_S = 0.25
#: After a refusal that only its host can mend, or a clone: seldom.
SLOW_PAUSE_S = 60.0


class CloseCode:
    """Close codes of the agent protocol (shared-types, envelope.ts)."""

    GOING_AWAY = 1001
    ABNORMAL = 1006
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    TRY_AGAIN_LATER = 1013
    FENCED = 4001
    REFUSED = 4003
    CLONE_SUSPECTED = 4009


class After(StrEnum):
    """What follows the end of a session."""

    #: As soon as is polite.
    RECONNECT = "reconnect"
    #: The backend is crowded, or we did something that it does not bear: not in the first seconds.
    RECONNECT_LATER = "reconnect_later"
    #: Another machine answers under our identity: once a minute, until one of the two is gone.
    RECONNECT_SELDOM = "reconnect_seldom"
    #: A newer session of this node took over: two must not fight. Until the agent is started again.
    STAND_BACK = "stand_back"
    #: Key revoked, or another identity. Until the agent is started again.
    GIVE_UP = "give_up"


AFTER_CLOSE = {
    CloseCode.POLICY_VIOLATION: After.RECONNECT_LATER,
    CloseCode.MESSAGE_TOO_BIG: After.RECONNECT_LATER,
    CloseCode.TRY_AGAIN_LATER: After.RECONNECT_LATER,
    CloseCode.FENCED: After.STAND_BACK,
    CloseCode.REFUSED: After.GIVE_UP,
    CloseCode.CLONE_SUSPECTED: After.RECONNECT_SELDOM,
}
#: A refused upgrade: a proxy or a gateway in trouble can answer this too, so it is tried again.
AFTER_STATUS = {401: After.RECONNECT_SELDOM, 403: After.RECONNECT_SELDOM, 429: After.RECONNECT_LATER}


def after_close(code: int | None) -> After:
    """What a close code asks for. Unknown ones above 4000 were made for agents that know them."""
    if code is None:
        return After.RECONNECT
    return AFTER_CLOSE.get(code, After.RECONNECT_SELDOM if code >= 4000 else After.RECONNECT)


def after_status(status: int) -> After:
    """What the HTTP status of a refused upgrade asks for."""
    return AFTER_STATUS.get(status, After.RECONNECT)


def pause_s(after: After, *, attempt: int, outage_s: float, rng: random.Random) -> float:
    """The pause before the next try, with jitter over its whole length: a fleet must not come back at one instant.

    `attempt` counts from 0 within an outage of `outage_s` seconds.
    """
    if after is After.RECONNECT_SELDOM:
        return SLOW_PAUSE_S * rng.uniform(0.75, 1.25)
    if after is After.RECONNECT_LATER:
        return rng.uniform(SHORT_PAUSE_S, LONG_PAUSE_S)
    if outage_s < FIRST_MINUTE_S:
        return rng.uniform(0, min(SHORT_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10)))
    return rng.uniform(0, LONG_PAUSE_S)
