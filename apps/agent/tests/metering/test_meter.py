"""Usage segments: signed, on the boot clock, without overlap; time that nobody saw is never claimed."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcompute_agent.identity import Identity
from dcompute_agent.journal import Journal, Record
from dcompute_agent.journal.store import JournalStore
from dcompute_agent.metering.meter import Meter
from dcompute_agent.runtime.base import Container, ContainerState
from dcompute_agent.wire import canonical_json

from ..support.clock import ManualClock
from ..support.fixtures import wish

IDENTITY = Identity.from_seed(bytes(range(32)))


def container(run: str = "run-1", state: ContainerState = ContainerState.RUNNING) -> Container:
    return Container("c1", "rental-1", 1, "sha", state, started_token=run)


def fresh_record() -> Record:
    return Record(desired=wish(), container_id="c1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(JournalStore(tmp_path / "journal.sqlite"))
    yield journal
    await journal.close()


@pytest.fixture
def meter(journal: Journal, clock: ManualClock) -> Meter:
    return Meter(journal, clock, IDENTITY, lambda: "node-1")


async def test_a_segment_says_exactly_the_time_since_the_last_and_is_signed_by_the_node(
    meter: Meter, journal: Journal, clock: ManualClock
) -> None:
    record = meter.follow(fresh_record(), [container()])
    clock.now_ms += 500
    record = meter.cut(record)
    clock.now_ms += 250
    meter.cut(record)

    first, second = journal.segments.values()
    assert (first.from_ms, first.to_ms, second.from_ms, second.to_ms) == (1000, 1500, 1500, 1750)
    unsigned = first.model_dump(mode="json", exclude={"signature"})
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(IDENTITY.public_key))
    key.verify(base64.b64decode(first.signature), canonical_json(unsigned).encode())


async def test_a_run_goes_on_over_a_restart_of_the_agent(meter: Meter, journal: Journal, clock: ManualClock) -> None:
    record = meter.cut(meter.follow(fresh_record(), [container()]))
    clock.now_ms += 60_000

    # The agent was away for a minute; the same run of the same container cannot have been interrupted.
    meter.cut(meter.follow(record, [container()]))

    (segment,) = journal.segments.values()
    assert segment.to_ms - segment.from_ms == 60_000


@pytest.mark.parametrize(
    "after", [[container("run-2")], [container(state=ContainerState.STOPPED)], []], ids=["restarted", "stopped", "gone"]
)
async def test_time_in_which_a_run_ended_unseen_is_not_claimed(
    meter: Meter, journal: Journal, clock: ManualClock, after: list[Container]
) -> None:
    record = meter.follow(fresh_record(), [container()])
    clock.now_ms += 60_000

    meter.cut(meter.follow(record, after))

    assert not journal.segments


async def test_r7_a_run_of_another_boot_is_not_continued(meter: Meter, journal: Journal, clock: ManualClock) -> None:
    record = meter.follow(fresh_record(), [container()])
    clock.boot, clock.now_ms = "boot-2", 5_000

    record = meter.follow(record, [container()])
    clock.now_ms = 6_000
    meter.cut(record)

    (segment,) = journal.segments.values()
    assert (segment.boot_id, segment.from_ms, segment.to_ms) == ("boot-2", 5_000, 6_000)


async def test_the_last_segment_ends_when_the_end_was_seen(meter: Meter, journal: Journal, clock: ManualClock) -> None:
    record = meter.follow(fresh_record(), [container()])
    clock.now_ms += 123

    record = meter.finish(record, "c1")
    clock.now_ms += 1000
    meter.cut(record)

    (segment,) = journal.segments.values()
    assert segment.to_ms - segment.from_ms == 123


async def test_another_container_of_the_rental_does_not_end_the_run(meter: Meter) -> None:
    record = meter.follow(fresh_record(), [container()])

    assert meter.finish(record, "c2") == record


async def test_before_the_node_has_an_id_nothing_is_cut(journal: Journal, clock: ManualClock) -> None:
    meter = Meter(journal, clock, IDENTITY, lambda: None)
    record = meter.follow(fresh_record(), [container()])
    clock.now_ms += 10

    assert meter.cut(record) == record


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["cut", "restart", "stop", "start", "reboot", "wait"]), st.integers(0, 5_000)),
        max_size=30,
    )
)
async def test_segments_of_a_container_never_overlap_and_never_exceed_its_running_time(
    tmp_path: Path, moves: list[tuple[str, int]]
) -> None:
    path = tmp_path / "journal.sqlite"
    for old in tmp_path.glob("journal.sqlite*"):
        old.unlink()
    journal = Journal(JournalStore(path))
    try:
        clock = ManualClock()
        meter = Meter(journal, clock, IDENTITY, lambda: "node-1")
        record, run, running, ran_ms = fresh_record(), 1, True, 0
        record = meter.follow(record, [container("run-1")])
        for move, wait_ms in moves:
            clock.now_ms += wait_ms
            ran_ms += wait_ms if running else 0
            present = [container(f"run-{run}")] if running else []
            match move:
                case "cut":
                    record = meter.cut(record)
                case "restart":
                    record = meter.follow(record, present)
                case "stop" if running:
                    record, running = meter.finish(record, "c1"), False
                case "start" if not running:
                    run, running = run + 1, True
                    record = meter.follow(record, [container(f"run-{run}")])
                case "reboot":
                    run, running = run + 1, False
                    clock.boot, clock.now_ms = f"boot-{run}", 0
                    record = meter.follow(record, [])
                case _:
                    record = replace(record)
        segments = list(journal.segments.values())
        assert sum(s.to_ms - s.from_ms for s in segments) <= ran_ms
        assert [s.n for s in segments] == list(range(len(segments)))
        by_boot: dict[str, list[tuple[int, int]]] = {}
        for segment in segments:
            by_boot.setdefault(segment.boot_id, []).append((segment.from_ms, segment.to_ms))
        for spans in by_boot.values():
            assert all(before[1] <= after[0] for before, after in pairwise(spans))
    finally:
        await journal.close()
