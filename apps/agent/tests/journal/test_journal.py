"""What the journal said is durable survives a loss of power; what it did not say may be lost, but only from the end."""

# A full disk is SQLite's own page limit, set on the store's own connection.
# pyright: reportPrivateUsage=false

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcompute_agent.journal import Journal, JournalError, LocalEnd, MeterRun, Record
from dcompute_agent.journal.journal import JOURNAL_FILE
from dcompute_agent.journal.store import JournalStore, put_record
from dcompute_agent.protocol import models as m

from ..support.fixtures import read_fixture, spec_for, wish

SEGMENT = m.UsageSegment.model_validate(read_fixture("usage-segment-signature")["segment"])
WRITER = """
import asyncio, sys
from pathlib import Path
from dcompute_agent.journal import Journal, Record
from tests.support.fixtures import wish

async def main():
    journal = Journal.open(Path(sys.argv[1]))
    for gen in range(1, 1_000_000):
        journal.put(Record(desired=wish(gen=gen), tombstone_gen=gen))
        await journal.durable()
        print(gen, flush=True)

asyncio.run(main())
"""


def full_record() -> Record:
    """A record with a value in every member."""
    return Record(
        desired=wish(gen=9, reason="renter_stopped", ttl_remaining_ms=5),
        tombstone_gen=8,
        phase=m.InstancePhase.STOPPED,
        phase_boot_ms=7,
        end=LocalEnd(9, m.InstancePhase.STOPPED, m.RentalEndReason.NODE_SHUTDOWN, "why"),
        container_id="container",
        image_digest="sha256:1",
        exit_code=0,
        oom_killed=False,
        keys_sha="keys",
        ttl_deadline_ms=6,
        boot_id="boot",
        meter=MeterRun("container", "token", "boot", 4),
        next_segment=3,
    )


async def test_everything_that_was_noted_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    record, spec = full_record(), spec_for("rental-1")
    journal.put(record)
    journal.put_spec(record.placement_id, spec)
    journal.add_segment(SEGMENT)
    journal.put_meta("rev_applied", "42")
    await journal.close()

    again = Journal.open(tmp_path)
    try:
        assert dict(again.records) == {record.placement_id: record}
        assert again.spec(record.placement_id) == spec
        assert list(again.segments.values()) == [SEGMENT]
        assert again.rev_applied == 42
    finally:
        await again.close()


async def test_what_was_dropped_is_gone_after_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.put_spec("placement-1", spec_for("rental-1"))
    journal.add_segment(SEGMENT)
    journal.drop_spec("placement-1")
    journal.drop_segments([SEGMENT.segment_id, "unknown"])
    await journal.close()

    again = Journal.open(tmp_path)
    try:
        assert again.spec("placement-1") is None
        assert not again.segments
    finally:
        await again.close()


async def test_segments_come_back_in_the_order_in_which_they_were_cut(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    names = [f"segment-{n}" for n in random.Random(1).sample(range(1000), 50)]
    for name in names:
        journal.add_segment(SEGMENT.model_copy(update={"segment_id": name}))
    await journal.close()

    again = Journal.open(tmp_path)
    try:
        assert list(again.segments) == names
    finally:
        await again.close()


@pytest.mark.parametrize("seed", range(3))
async def test_a_generation_that_was_called_durable_survives_kill_9_in_the_middle_of_writing(
    tmp_path: Path, seed: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    wanted, said = random.Random(seed).randint(1, 40), 0
    async with asyncio.timeout(60):
        while said < wanted:
            said = int(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).split()
        await process.wait()
    said = max([said, *map(int, rest)])

    store = JournalStore(tmp_path / JOURNAL_FILE)
    try:
        record = store.load().records["placement-1"]
    finally:
        store.close()
    assert record.gen >= said
    assert record.tombstone_gen == record.gen


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=st.integers(1, 12), cut=st.floats(0, 1), garbage=st.binary(max_size=64))
def test_a_torn_log_leaves_a_state_that_was_once_committed(
    tmp_path: Path, commits: int, cut: float, garbage: bytes
) -> None:
    """Power fails while the log is written: any end of it may be missing or nonsense."""
    live, torn = tmp_path / "live", tmp_path / "torn"
    for folder in (live, torn):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    store = JournalStore(live / JOURNAL_FILE, reserve_bytes=0)
    try:
        for number in range(1, commits + 1):
            # Two changes that belong together: half a commit must never be seen.
            store.commit([put_record(Record(desired=wish(n, gen=number))) for n in (1, 2)])
        shutil.copy(live / JOURNAL_FILE, torn / JOURNAL_FILE)
        log = (live / f"{JOURNAL_FILE}-wal").read_bytes()
    finally:
        store.close()
    (torn / f"{JOURNAL_FILE}-wal").write_bytes(log[: int(len(log) * cut)] + garbage)

    reopened = JournalStore(torn / JOURNAL_FILE, reserve_bytes=0)
    try:
        records = reopened.load().records
        gens = {record.gen for record in records.values()}
        assert len(records) in (0, 2)
        assert len(gens) <= 1
        if cut == 1:
            assert gens == {commits}
        reopened.commit([put_record(Record(desired=wish(1, gen=commits + 1)))])
        assert reopened.load().records["placement-1"].gen == commits + 1
    finally:
        reopened.close()


async def test_a_full_disk_is_said_and_nothing_noted_is_lost_by_it(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / JOURNAL_FILE)
    journal = Journal(store)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    for number in range(100):
        journal.put(Record(desired=wish(number)))
    journal.put_meta("more than the reserve holds", "x" * 8_000_000)

    with pytest.raises(JournalError, match="full"):
        await journal.durable()

    store._db.execute("PRAGMA max_page_count=1000000")
    await journal.durable()
    await journal.close()
    again = Journal.open(tmp_path)
    try:
        assert len(again.records) == 100
    finally:
        await again.close()


@pytest.mark.docker
async def test_on_a_disk_that_an_instance_filled_stops_can_still_be_written_down(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)], check=True)
    try:
        journal = Journal.open(tmp_path)
        with pytest.raises(OSError, match="No space left"):
            fill_up(tmp_path / "filler")

        for number in range(1000):
            journal.put(Record(desired=wish(number % 50, gen=number)))
            await journal.durable()

        on_disk = JournalStore(tmp_path / JOURNAL_FILE)
        assert max(record.gen for record in on_disk.load().records.values()) == 999
        on_disk.close()
        await journal.close()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


async def test_many_changes_share_few_commits(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / JOURNAL_FILE)
    journal = Journal(store)
    before = store._db.total_changes
    for number in range(200):
        journal.put(Record(desired=wish(number)))
    await asyncio.gather(*(journal.durable() for _ in range(50)))

    assert store._db.total_changes - before == 200
    await journal.close()


async def test_the_file_is_closed_to_others_from_its_first_byte(tmp_path: Path) -> None:
    os.umask(0o022)
    journal = Journal.open(tmp_path)
    journal.put(replace(full_record(), exit_code=1))
    await journal.durable()

    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    await journal.close()


async def test_a_journal_of_a_newer_agent_is_refused(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / JOURNAL_FILE)
    store._db.execute("PRAGMA user_version=99")
    store.close()

    with pytest.raises(RuntimeError, match="newer agent"):
        JournalStore(tmp_path / JOURNAL_FILE)
