"""The port to the node's GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..protocol.models import GpuSpec, GpuState


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at this moment."""

    state: GpuState
    temperature_celsius: float
    utilization_percent: float


class GpuInventory(Protocol):
    """Finds GPUs and reads them. Calls block for milliseconds at most and never raise: a GPU that fails is left out."""

    def specs(self) -> Sequence[GpuSpec]:
        """Every GPU of the node that may be rented, by index."""
        ...

    def read(self) -> Sequence[GpuReading]:
        """The same GPUs now, in the same order."""
        ...


class NoGpus:
    """A node without GPUs."""

    def specs(self) -> Sequence[GpuSpec]:
        """None."""
        return ()

    def read(self) -> Sequence[GpuReading]:
        """None."""
        return ()
