"""The journal's file: SQLite, WAL, synchronous=FULL, so that a committed change survives a loss of power."""

import logging
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..protocol.models import DesiredInstance, InstancePhase, InstanceSpec, RentalEndReason, UsageSegment
from .records import LocalEnd, MeterRun, Record

log = logging.getLogger(__name__)

RESERVE_BYTES = 1024 * 1024
#: The log begins anew after this many pages of 4 KiB, which the reserve holds.
LOG_PAGES = 200
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE instance (
  placement_id TEXT PRIMARY KEY,
  rental_id TEXT NOT NULL,
  incarnation INTEGER NOT NULL,
  gen_seen INTEGER NOT NULL,
  tombstone_gen INTEGER NOT NULL,
  desired TEXT NOT NULL,
  phase TEXT NOT NULL,
  phase_boot_ms INTEGER NOT NULL,
  end_gen INTEGER, end_phase TEXT, end_reason TEXT, end_message TEXT,
  container_id TEXT, image_digest TEXT, exit_code INTEGER, oom_killed INTEGER, keys_sha TEXT,
  boot_id TEXT, ttl_deadline_ms INTEGER,
  meter_container_id TEXT, meter_started_token TEXT, meter_boot_id TEXT, metered_to_ms INTEGER,
  next_segment INTEGER NOT NULL
) STRICT;
CREATE TABLE instance_spec (placement_id TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;
CREATE TABLE usage_segment (segment_id TEXT PRIMARY KEY, segment TEXT NOT NULL) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
Value = str | int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One statement of the next commit."""

    sql: str
    values: tuple[Value, ...]


@dataclass(slots=True)
class Image:
    """All that the journal holds, as read at the start."""

    records: dict[str, Record] = field(default_factory=dict[str, Record])
    specs: dict[str, InstanceSpec] = field(default_factory=dict[str, InstanceSpec])
    segments: dict[str, UsageSegment] = field(default_factory=dict[str, UsageSegment])
    meta: dict[str, str] = field(default_factory=dict[str, str])


class JournalStore:
    """The only user of the SQLite connection; every call blocks."""

    def __init__(self, path: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        # The file holds registry logins and host keys: nobody else may read it, from its first byte on.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        self._migrate()
        if reserve_bytes:
            self._reserve(reserve_bytes)

    def _reserve(self, reserve_bytes: int) -> None:
        """Room in the file and its log for what must be written while the disk is full.

        An instance may fill the disk, and only a stop that was written down first (R1) can end that.
        """
        try:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('reserve', printf('%.*c', ?, 'x'))", (reserve_bytes,))
            self._db.execute("DELETE FROM meta WHERE key = 'reserve'")
            # From here on the log is written from its beginning again.
            self._db.execute("PRAGMA wal_checkpoint(RESTART)")
        except sqlite3.OperationalError as error:
            log.warning("journal_without_reserve", extra={"error": str(error)})

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise RuntimeError(f"the journal was written by a newer agent (version {version})")
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")

    def load(self) -> Image:
        """Reads everything."""
        image = Image()
        for row in self._rows("SELECT * FROM instance"):
            record = _record(row)
            image.records[record.placement_id] = record
        for row in self._rows("SELECT * FROM instance_spec"):
            image.specs[str(row["placement_id"])] = InstanceSpec.model_validate_json(str(row["spec"]))
        for row in self._rows("SELECT * FROM usage_segment ORDER BY rowid"):
            segment = UsageSegment.model_validate_json(str(row["segment"]))
            image.segments[segment.segment_id] = segment
        for row in self._rows("SELECT * FROM meta"):
            image.meta[str(row["key"])] = str(row["value"])
        return image

    def _rows(self, sql: str) -> list[dict[str, Value]]:
        cursor = self._db.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def commit(self, changes: Sequence[Change]) -> None:
        """Applies all changes or none; they are on disk when this returns. Raises sqlite3.Error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                self._db.execute(change.sql, change.values)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Closes the file; the write-ahead log is folded in."""
        self._db.close()


RECORD_COLUMNS = (
    "placement_id, rental_id, incarnation, gen_seen, tombstone_gen, desired, phase, phase_boot_ms, end_gen, end_phase, "
    "end_reason, end_message, container_id, image_digest, exit_code, oom_killed, keys_sha, boot_id, ttl_deadline_ms, "
    "meter_container_id, meter_started_token, meter_boot_id, metered_to_ms, next_segment"
)
PUT_RECORD = f"INSERT OR REPLACE INTO instance ({RECORD_COLUMNS}) VALUES ({','.join('?' * 24)})"  # noqa: S608 -- constants


def put_record(record: Record) -> Change:
    """The change that stores a record."""
    end, meter = record.end, record.meter
    values: tuple[Value, ...] = (
        record.placement_id,
        record.rental_id,
        record.incarnation,
        record.gen,
        record.tombstone_gen,
        record.desired.model_dump_json(exclude_none=True),
        record.phase.value,
        record.phase_boot_ms,
        *((end.gen, end.phase.value, end.reason.value, end.message) if end else (None,) * 4),
        record.container_id,
        record.image_digest,
        record.exit_code,
        None if record.oom_killed is None else int(record.oom_killed),
        record.keys_sha,
        record.boot_id,
        record.ttl_deadline_ms,
        *((meter.container_id, meter.started_token, meter.boot_id, meter.metered_to_ms) if meter else (None,) * 4),
        record.next_segment,
    )
    return Change(PUT_RECORD, values)


def _record(row: dict[str, Value]) -> Record:
    return Record(
        desired=DesiredInstance.model_validate_json(str(row["desired"])),
        tombstone_gen=_number(row["tombstone_gen"]),
        phase=InstancePhase(row["phase"]),
        phase_boot_ms=_number(row["phase_boot_ms"]),
        end=_end(row),
        container_id=_text(row["container_id"]),
        image_digest=_text(row["image_digest"]),
        exit_code=_optional_number(row["exit_code"]),
        oom_killed=None if row["oom_killed"] is None else bool(row["oom_killed"]),
        keys_sha=_text(row["keys_sha"]),
        boot_id=_text(row["boot_id"]),
        ttl_deadline_ms=_optional_number(row["ttl_deadline_ms"]),
        meter=_meter(row),
        next_segment=_number(row["next_segment"]),
    )


def _end(row: dict[str, Value]) -> LocalEnd | None:
    if row["end_gen"] is None:
        return None
    return LocalEnd(
        gen=_number(row["end_gen"]),
        phase=InstancePhase(row["end_phase"]),
        reason=RentalEndReason(row["end_reason"]),
        message=_text(row["end_message"]) or "",
    )


def _meter(row: dict[str, Value]) -> MeterRun | None:
    if row["meter_container_id"] is None:
        return None
    return MeterRun(
        container_id=str(row["meter_container_id"]),
        started_token=str(row["meter_started_token"]),
        boot_id=str(row["meter_boot_id"]),
        metered_to_ms=_number(row["metered_to_ms"]),
    )


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"the journal holds {value!r} where a number belongs")
    return value


def _optional_number(value: Value) -> int | None:
    return None if value is None else _number(value)


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
