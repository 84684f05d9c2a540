"""When the agent comes back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcompute_agent.connection.backoff import After, after_close, after_status, pause_s


@given(attempt=st.integers(0, 10_000), outage_s=st.floats(0, 59.9), seed=st.integers())
def test_in_the_first_minute_a_pause_is_at_most_five_seconds(attempt: int, outage_s: float, seed: int) -> None:
    pause = pause_s(After.RECONNECT, attempt=attempt, outage_s=outage_s, rng=random.Random(seed))

    assert 0 <= pause <= 5


@given(attempt=st.integers(0, 10_000), outage_s=st.floats(60, 1e7), seed=st.integers())
def test_later_it_is_at_most_thirty_seconds(attempt: int, outage_s: float, seed: int) -> None:
    assert 0 <= pause_s(After.RECONNECT, attempt=attempt, outage_s=outage_s, rng=random.Random(seed)) <= 30


def test_a_fleet_does_not_come_back_at_one_instant() -> None:
    pauses = [pause_s(After.RECONNECT, attempt=5, outage_s=10, rng=random.Random(seed)) for seed in range(1000)]

    for tenth in range(10):
        assert 40 < sum(tenth * 0.5 <= pause < (tenth + 1) * 0.5 for pause in pauses) < 200


@pytest.mark.parametrize(
    ("code", "after"),
    [
        (None, After.RECONNECT),
        (1000, After.RECONNECT),
        (1001, After.RECONNECT),
        (1006, After.RECONNECT),
        (1008, After.RECONNECT_LATER),
        (1009, After.RECONNECT_LATER),
        (1013, After.RECONNECT_LATER),
        (4001, After.STAND_BACK),
        (4003, After.GIVE_UP),
        (4009, After.RECONNECT_SELDOM),
        (4999, After.RECONNECT_SELDOM),
    ],
)
def test_each_close_code_asks_for_its_own_behaviour(code: int | None, after: After) -> None:
    assert after_close(code) is after


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (401, After.RECONNECT_SELDOM),
        (403, After.RECONNECT_SELDOM),
        (429, After.RECONNECT_LATER),
        (502, After.RECONNECT),
    ],
)
def test_a_refused_upgrade_asks_for_its_own_behaviour(status: int, after: After) -> None:
    assert after_status(status) is after


def test_a_crowded_backend_gets_at_least_five_seconds() -> None:
    pauses = [pause_s(After.RECONNECT_LATER, attempt=0, outage_s=0, rng=random.Random(seed)) for seed in range(100)]

    assert min(pauses) >= 5
