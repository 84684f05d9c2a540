"""A list counts only when it is whole."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcompute_agent.connection.desired_parts import DesiredParts
from dcompute_agent.protocol.models import Desired

from ..support.fixtures import wish


def part(rev: int, number: int, parts: int, *, frozen: bool = False) -> Desired:
    return Desired(rev=rev, part=number, parts=parts, frozen=frozen, items=[wish(number)])


@given(count=st.integers(1, 12), seed=st.integers())
def test_parts_in_any_order_and_doubled_give_the_list_once_all_have_come(count: int, seed: int) -> None:
    rng = random.Random(seed)
    numbers = list(range(1, count + 1))
    rng.shuffle(numbers)
    parts, *_ = (DesiredParts(),)
    for number in numbers[:-1]:
        assert parts.add(part(7, number, count)) is None
        if rng.random() < 0.3 and number != numbers[-1]:
            assert parts.add(part(7, number, count)) is None

    full = parts.add(part(7, numbers[-1], count))

    assert full is not None
    assert [item.placement_id for item in full.items] == [f"placement-{n}" for n in range(1, count + 1)]


def test_a_newer_revision_makes_the_collected_parts_worthless() -> None:
    parts = DesiredParts()
    parts.add(part(1, 1, 2))
    parts.add(part(2, 1, 2))

    assert parts.add(part(1, 2, 2)) is None
    assert parts.add(part(2, 2, 2)) is None


def test_the_same_revision_can_be_sent_again() -> None:
    parts = DesiredParts()

    assert parts.add(part(1, 1, 1)) is not None
    assert parts.add(part(1, 1, 1)) is not None


def test_a_freeze_in_any_part_freezes() -> None:
    parts = DesiredParts()
    parts.add(part(1, 1, 2, frozen=True))

    full = parts.add(part(1, 2, 2))

    assert full is not None
    assert full.frozen


def test_a_part_beyond_the_count_is_refused() -> None:
    with pytest.raises(ValueError, match="part 3 of 2"):
        DesiredParts().add(part(1, 3, 2))
