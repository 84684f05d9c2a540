"""The agent on a machine whose wall clock somebody sets: it is ahead by the seconds that a file holds."""

import datetime
import sys
import time
from pathlib import Path

real_time = time.time
clock_file = Path(sys.argv.pop(1))


def ahead_s() -> float:
    """How far the wall clock was set ahead, at this moment."""
    try:
        return float(clock_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


class SteppedDatetime(datetime.datetime):
    """Its `now` is the wall clock's."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "SteppedDatetime":
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: real_time() + ahead_s()
datetime.datetime = SteppedDatetime

from dcompute_agent import __main__ as agent  # noqa: E402 -- only now do its modules see the stepped clock

if __name__ == "__main__":
    sys.exit(agent.main())
