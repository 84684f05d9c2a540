"""A clock that a test moves."""

from datetime import UTC, datetime


class ManualClock:
    def __init__(self, boot_ms: int = 1_000, boot_id: str = "boot-1") -> None:
        self.now_ms = boot_ms
        self.boot = boot_id

    @property
    def boot_id(self) -> str:
        return self.boot

    def boot_ms(self) -> int:
        return self.now_ms

    def wall(self) -> datetime:
        return datetime(2020, 1, 1, tzinfo=UTC)
