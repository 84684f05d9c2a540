"""What the backend's full list does not explain, and for how long that has been so (R5)."""

from collections.abc import Collection, Iterable

from ..runtime.base import Container
from .placement import Placement


class Unlisted:
    """Only a full list of the present session counts, and only after a grace: a list may be older than a start."""

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._listed: set[str] | None = None
        self._since: dict[str, int] = {}

    def forget_list(self) -> None:
        """The session ended: its list no longer counts."""
        self._listed = None
        self._since.clear()

    def take_list(self, placement_ids: Iterable[str]) -> None:
        """A full list was taken over."""
        self._listed = set(placement_ids)

    def take_hint(self, placement_id: str) -> None:
        """A placement that was named after the list."""
        if self._listed is not None:
            self._listed.add(placement_id)

    def overdue_containers(self, strays: Collection[Container], now_ms: int) -> list[Container]:
        """Containers of ours that no placement has explained for the whole grace."""
        if self._listed is None:
            return []
        return [stray for stray in strays if self._is_overdue(f"container {stray.container_id}", now_ms)]

    def overdue_placements(self, placements: Iterable[Placement], now_ms: int) -> list[Placement]:
        """Placements that the list has not named for the whole grace, and that still have something."""
        if self._listed is None:
            return []
        overdue: list[Placement] = []
        for placement in placements:
            key = f"placement {placement.record.placement_id}"
            if placement.record.placement_id in self._listed or placement.is_gone:
                self._since.pop(key, None)
            elif self._is_overdue(key, now_ms):
                overdue.append(placement)
        return overdue

    def _is_overdue(self, key: str, now_ms: int) -> bool:
        return now_ms - self._since.setdefault(key, now_ms) >= self._grace_ms
