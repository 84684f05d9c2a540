"""What the agent must not forget: generations, tombstones, phases, specs and unsent usage segments."""

from .journal import Journal, JournalError
from .records import LocalEnd, MeterRun, Record

__all__ = ["Journal", "JournalError", "LocalEnd", "MeterRun", "Record"]
