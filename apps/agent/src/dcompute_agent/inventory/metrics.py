"""How the node does: said in every heartbeat."""

from pathlib import Path

from ..protocol.models import GpuState, HeartbeatMetrics
from .gpus import GpuInventory
from .machine import GIB, CpuTimes, disk_of, read_cpu_celsius, read_cpu_times, read_memory


class MetricsReader:
    """Reads the machine; CPU utilization is that since the reading before."""

    def __init__(self, gpus: GpuInventory, data_root: Path, root: Path = Path("/")) -> None:
        self._gpus = gpus
        self._data_root = data_root
        self._root = root
        self._last_times: CpuTimes | None = None

    def read(self) -> tuple[HeartbeatMetrics, list[GpuState]]:
        """The metrics and the state of every GPU."""
        gpus = self._gpus.read()
        used_bytes, _ = disk_of(self._data_root)
        metrics = HeartbeatMetrics(
            cpu_temp=read_cpu_celsius(self._root),
            gpu_temp=[gpu.temperature_celsius for gpu in gpus],
            gpu_utilization=[gpu.utilization_percent for gpu in gpus],
            ram_usage_mb=read_memory(self._root).used_mib,
            disk_usage_gb=round(used_bytes / GIB, 2),
            cpu_utilization=self._cpu_utilization(),
        )
        return metrics, [gpu.state for gpu in gpus]

    def _cpu_utilization(self) -> float | None:
        before, now = self._last_times, read_cpu_times(self._root)
        self._last_times = now
        if before is None or now.total <= before.total:
            return None
        return round(min(100.0, max(0.0, 100 * (now.busy - before.busy) / (now.total - before.total))), 1)
