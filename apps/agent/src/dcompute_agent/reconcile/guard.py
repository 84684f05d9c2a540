"""The mass-stop guard (R6): a list that would empty the node without saying why is held."""

from collections.abc import Iterable, Mapping

from ..protocol.models import DesiredInstance, DesiredState

MASS_STOP_MINIMUM = 2


def unexplained_stops(running: Iterable[str], listed: Mapping[str, DesiredInstance]) -> list[str]:
    """Placements that run and that a full list stops, deletes or no longer names, without a reason."""
    return [placement_id for placement_id in running if _stops_without_reason(listed.get(placement_id))]


def is_mass_stop(running_count: int, unexplained_count: int) -> bool:
    """More than half of what runs, and more than two."""
    return unexplained_count > MASS_STOP_MINIMUM and unexplained_count * 2 > running_count


def _stops_without_reason(item: DesiredInstance | None) -> bool:
    return item is None or (item.desired is not DesiredState.RUNNING and item.reason is None)
