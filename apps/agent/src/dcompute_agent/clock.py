"""Time as the agent uses it: the boot clock measures, the wall clock is only shown (R7)."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where durations and deadlines come from."""

    @property
    def boot_id(self) -> str:
        """Names this boot of the machine; readings of another boot cannot be compared with ours."""
        ...

    def boot_ms(self) -> int:
        """Milliseconds since the machine booted, suspended time included."""
        ...

    def wall(self) -> datetime:
        """What the machine believes the date to be; for people only."""
        ...


class SystemClock:
    """CLOCK_BOOTTIME and the kernel's boot id."""

    def __init__(self, boot_id_file: Path = BOOT_ID_FILE) -> None:
        self._boot_id = boot_id_file.read_text(encoding="ascii").strip()

    @property
    def boot_id(self) -> str:
        """The kernel's boot id."""
        return self._boot_id

    def boot_ms(self) -> int:
        """CLOCK_BOOTTIME in milliseconds."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def wall(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC)
