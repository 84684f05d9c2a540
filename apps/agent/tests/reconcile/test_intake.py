"""Verdicts on wishes: R1 and R2, for every order of messages."""

import random

from hypothesis import given
from hypothesis import strategies as st

from dcompute_agent.journal import Record
from dcompute_agent.protocol import models as m
from dcompute_agent.reconcile.intake import accept, wish_of_keys, wish_of_stop

from ..support.fixtures import fixture_data, wish

WISHES = st.lists(
    st.builds(
        wish, number=st.just(1), gen=st.integers(0, 12), desired=st.sampled_from(["running", "stopped", "deleted"])
    ),
    max_size=15,
)


def take(record: Record | None, item: m.DesiredInstance, now_ms: int = 0) -> tuple[m.CommandResult, Record | None]:
    result, following = accept(record, item, boot_id="boot", now_ms=now_ms)
    return result, following or record


@given(items=WISHES)
def test_r1_the_generation_never_falls_and_the_highest_one_decides(items: list[m.DesiredInstance]) -> None:
    record: Record | None = None
    for item in items:
        before = record
        result, record = take(record, item)
        assert record is not None
        if before is not None:
            assert record.gen >= before.gen
            assert (result is m.CommandResult.STALE) <= (item.gen <= before.gen or item.gen <= before.tombstone_gen)
            assert (result is m.CommandResult.DUPLICATE) == (item.gen == before.gen)
        assert (result is m.CommandResult.ACCEPTED) == (record.desired is item)


@given(items=WISHES)
def test_r2_no_start_is_accepted_at_or_below_a_stop(items: list[m.DesiredInstance]) -> None:
    record: Record | None = None
    highest_stop = -1
    for item in items:
        result, record = take(record, item)
        if result is not m.CommandResult.ACCEPTED:
            continue
        if item.desired is m.DesiredState.RUNNING:
            assert item.gen > highest_stop
        else:
            highest_stop = max(highest_stop, item.gen)
    assert record is None or record.tombstone_gen == highest_stop


@given(items=WISHES, seed=st.randoms(use_true_random=False))
def test_messages_in_any_order_and_doubled_end_in_the_same_wish(
    items: list[m.DesiredInstance], seed: random.Random
) -> None:
    by_gen = {item.gen: item for item in items}
    if not by_gen:
        return
    shuffled = [*by_gen.values(), *by_gen.values()]
    seed.shuffle(shuffled)
    record: Record | None = None
    for item in shuffled:
        _, record = take(record, item)

    assert record is not None
    assert record.desired == by_gen[max(by_gen)]


def test_a_time_limit_is_counted_from_receipt_on_the_boot_clock() -> None:
    _, record = take(None, wish(ttl_remaining_ms=500), now_ms=1000)

    assert record is not None
    assert record.ttl_deadline_ms == 1500
    assert record.boot_id == "boot"


def test_a_repeated_wish_does_not_push_its_time_limit_away() -> None:
    _, record = take(None, wish(ttl_remaining_ms=500), now_ms=1000)
    _, again = take(record, wish(ttl_remaining_ms=500), now_ms=9000)

    assert again == record


def test_a_time_limit_of_another_boot_is_taken_anew() -> None:
    _, record = take(None, wish(ttl_remaining_ms=500), now_ms=1000)
    result, again = accept(record, wish(ttl_remaining_ms=300), boot_id="next boot", now_ms=10)

    assert result is m.CommandResult.DUPLICATE
    assert again is not None
    assert again.ttl_deadline_ms == 310


def test_a_new_incarnation_forgets_the_container() -> None:
    _, record = take(None, wish(gen=1))
    assert record is not None
    _, following = take(Record(desired=record.desired, container_id="old", keys_sha="old"), wish(gen=2, incarnation=2))

    assert following is not None
    assert following.container_id is None
    assert following.keys_sha is None


def test_a_stop_without_generation_is_no_wish() -> None:
    assert wish_of_stop(None, m.StopInstance.model_validate(fixture_data("backend.stop_instance-bare"))) is None


def test_a_stop_that_overtook_its_start_is_a_complete_wish() -> None:
    item = wish_of_stop(None, m.StopInstance.model_validate(fixture_data("backend.stop_instance")))

    assert item is not None
    assert item.desired is m.DesiredState.DELETED
    assert item.gen == 4


def test_new_keys_change_nothing_else() -> None:
    record = Record(desired=wish(gen=1))
    update = m.UpdateSshKeys(cmd_id="c", rental_id="rental-1", placement_id="placement-1", gen=2, ssh_keys=["k"])

    item = wish_of_keys(record, update)

    assert item == record.desired.model_copy(update={"gen": 2, "ssh_keys": ["k"]})
