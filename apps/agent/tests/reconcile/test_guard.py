"""R6: what counts as a mass stop. R5: when something unknown is overdue."""

import pytest

from dcompute_agent.reconcile.guard import is_mass_stop, unexplained_stops
from dcompute_agent.reconcile.unlisted import Unlisted
from dcompute_agent.runtime.base import Container, ContainerState

from ..support.fixtures import wish

STRAY = Container("c", "rental-9", 1, "sha", ContainerState.RUNNING)


@pytest.mark.parametrize(
    ("running", "unexplained", "held"),
    [
        (0, 0, False),
        (2, 2, False),
        (3, 3, True),
        (4, 3, True),
        (5, 3, True),
        (6, 3, False),
        (100, 50, False),
        (100, 51, True),
    ],
)
def test_r6_more_than_half_and_more_than_two_is_a_mass_stop(running: int, unexplained: int, held: bool) -> None:
    assert is_mass_stop(running, unexplained) is held


def test_r6_a_stop_is_explained_by_its_reason_alone() -> None:
    listed = {
        item.placement_id: item
        for item in (
            wish(1),
            wish(2, gen=2, desired="stopped"),
            wish(3, gen=2, desired="deleted", reason="renter_deleted"),
        )
    }

    assert unexplained_stops([f"placement-{n}" for n in (1, 2, 3, 4)], listed) == ["placement-2", "placement-4"]


def test_r5_the_grace_begins_with_the_list_and_anew_with_each_session() -> None:
    unlisted = Unlisted(grace_ms=100)
    assert unlisted.overdue_containers([STRAY], 1000) == []
    unlisted.take_list([])

    assert unlisted.overdue_containers([STRAY], 2000) == []
    assert unlisted.overdue_containers([STRAY], 2099) == []
    assert unlisted.overdue_containers([STRAY], 2100) == [STRAY]

    unlisted.forget_list()
    assert unlisted.overdue_containers([STRAY], 3000) == []
    unlisted.take_list([])
    assert unlisted.overdue_containers([STRAY], 4000) == []
