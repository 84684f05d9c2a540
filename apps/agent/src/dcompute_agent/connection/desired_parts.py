"""A desired list comes in parts; it counts only when all parts of one revision have arrived."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.models import Desired, DesiredInstance


@dataclass(frozen=True, slots=True)
class DesiredList:
    """A complete list."""

    rev: int
    frozen: bool
    items: Sequence[DesiredInstance]


class DesiredParts:
    """Collects the parts of the newest revision; parts of another one make the collected ones worthless."""

    def __init__(self) -> None:
        self._rev: int | None = None
        self._parts: dict[int, Desired] = {}
        self._count = 0

    def add(self, desired: Desired) -> DesiredList | None:
        """The list, once this part completes it. Raises ValueError for a part that cannot be."""
        if desired.part > desired.parts:
            raise ValueError(f"desired: part {desired.part} of {desired.parts}")
        if desired.rev != self._rev or desired.parts != self._count:
            self._rev, self._count, self._parts = desired.rev, desired.parts, {}
        self._parts[desired.part] = desired
        if len(self._parts) < self._count:
            return None
        parts = [self._parts[number] for number in sorted(self._parts)]
        self._rev, self._parts = None, {}
        # A freeze that holds for one part holds for all.
        frozen = any(part.frozen for part in parts)
        return DesiredList(desired.rev, frozen, [item for part in parts for item in part.items])
