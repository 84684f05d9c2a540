"""The journal as the agent uses it: all in memory, written by one thread, many changes in one commit."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..protocol.models import InstanceSpec, UsageSegment
from .records import Record
from .store import Change, JournalStore, put_record

JOURNAL_FILE = "journal.sqlite"
REV_APPLIED = "rev_applied"


class JournalError(Exception):
    """A change could not be made durable (disk full, file damaged): what depends on it must not happen."""


class Journal:
    """Readers see a change at once; whoever must not act before it is on disk awaits `durable()` (R1).

    Changes noted while a commit is running share the next one, so that many placements cost few disk flushes.
    """

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        image = store.load()
        self._records = image.records
        self._specs = image.specs
        self._segments = image.segments
        #: Segment id -> number of its change, until that is on disk.
        self._unwritten: dict[str, int] = {}
        self._meta = image.meta
        self._pending: list[Change] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._commit: asyncio.Task[None] | None = None
        self._noted = 0
        self._committed = 0
        self._failure: JournalError | None = None

    @classmethod
    def open(cls, state_dir: Path) -> "Journal":
        """Opens the journal of a state directory, made when absent."""
        return cls(JournalStore(state_dir / JOURNAL_FILE))

    @property
    def records(self) -> Mapping[str, Record]:
        """Every placement ever seen, by id; deleted ones stay as tombstones."""
        return self._records

    @property
    def segments(self) -> Mapping[str, UsageSegment]:
        """Usage segments that the backend has not acknowledged, oldest first."""
        return self._segments

    def spec(self, placement_id: str) -> InstanceSpec | None:
        """The spec of a placement, if it is known."""
        return self._specs.get(placement_id)

    def meta(self, key: str) -> str | None:
        """A single value that outlives the process."""
        return self._meta.get(key)

    @property
    def rev_applied(self) -> int:
        """Highest revision of the desired list that was taken over completely."""
        return int(self._meta.get(REV_APPLIED, "0"))

    def put(self, record: Record) -> None:
        """Notes a record."""
        self._records[record.placement_id] = record
        self._note(put_record(record))

    def put_spec(self, placement_id: str, spec: InstanceSpec) -> None:
        """Notes the spec of a placement."""
        self._specs[placement_id] = spec
        values = (placement_id, spec.model_dump_json(exclude_none=True))
        self._note(Change("INSERT OR REPLACE INTO instance_spec (placement_id, spec) VALUES (?, ?)", values))

    def drop_spec(self, placement_id: str) -> None:
        """Forgets a spec, and with it the secrets of a deleted rental."""
        if self._specs.pop(placement_id, None) is not None:
            self._note(Change("DELETE FROM instance_spec WHERE placement_id = ?", (placement_id,)))

    def add_segment(self, segment: UsageSegment) -> None:
        """Notes a usage segment that is to be sent."""
        self._segments[segment.segment_id] = segment
        values = (segment.segment_id, segment.model_dump_json())
        self._note(Change("INSERT OR IGNORE INTO usage_segment (segment_id, segment) VALUES (?, ?)", values))
        self._unwritten[segment.segment_id] = self._noted

    def is_being_written(self, segment_id: str) -> bool:
        """A segment that may not be sent yet: forgotten after it was sent, it would be cut anew and otherwise.

        While the disk takes nothing, sending is the best that can be done for it.
        """
        return segment_id in self._unwritten and self._failure is None

    def drop_segments(self, segment_ids: Iterable[str]) -> None:
        """Forgets segments that the backend has committed; unknown ids are ignored."""
        for segment_id in segment_ids:
            if self._segments.pop(segment_id, None) is not None:
                self._note(Change("DELETE FROM usage_segment WHERE segment_id = ?", (segment_id,)))

    def put_meta(self, key: str, value: str) -> None:
        """Notes a single value."""
        if self._meta.get(key) == value:
            return
        self._meta[key] = value
        self._note(Change("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)))

    async def durable(self) -> None:
        """Returns when all that was noted so far is on disk. Raises JournalError when it cannot be."""
        target = self._noted
        while self._committed < target:
            await asyncio.shield(self._kick())
            if self._failure is not None and self._committed < target:
                raise self._failure

    def _note(self, change: Change) -> None:
        self._pending.append(change)
        self._noted += 1
        self._kick()

    def _kick(self) -> asyncio.Task[None]:
        if self._commit is None:
            self._commit = asyncio.create_task(self._write_batch())
        return self._commit

    async def _write_batch(self) -> None:
        batch, self._pending = self._pending, []
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.commit, batch)
        except sqlite3.Error as error:
            # Kept, and tried again with the next change or the next wait.
            self._pending = batch + self._pending
            self._failure = JournalError(f"the journal cannot be written: {error}")
        else:
            self._committed += len(batch)
            self._failure = None
            self._unwritten = {name: noted for name, noted in self._unwritten.items() if noted > self._committed}
        self._commit = None
        if self._pending and self._failure is None:
            self._kick()

    async def close(self) -> None:
        """Writes what is left and closes the file."""
        try:
            await self.durable()
        finally:
            self._thread.shutdown(wait=True)
            self._store.close()
