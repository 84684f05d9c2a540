"""Facts of the machine, from /proc, /sys and /etc. Every reader takes the root, so that tests can bring their own."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..protocol.models import CpuArchitecture, CpuSpec

MIB, GIB = 1024**2, 1024**3
ARCHITECTURES = {
    "x86_64": CpuArchitecture.AMD64,
    "amd64": CpuArchitecture.AMD64,
    "aarch64": CpuArchitecture.ARM64,
    "arm64": CpuArchitecture.ARM64,
}
#: Kernel drivers of CPU sensors (Documentation/hwmon).
CPU_SENSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"})
CPU_ZONES = frozenset({"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal"})


class UnsupportedMachineError(Exception):
    """This machine cannot be a node."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine, in MiB."""

    total_mib: int
    used_mib: int


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks since boot, over all CPUs."""

    busy: int
    total: int


def architecture_of(machine: str) -> CpuArchitecture:
    """The architecture that images are chosen by. Raises UnsupportedMachineError."""
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise UnsupportedMachineError(f"no images exist for {machine} processors") from None


def read_os_name(root: Path = Path("/")) -> str:
    """The distribution as it calls itself."""
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        if path.is_file():
            match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', path.read_text(encoding="utf-8"), re.MULTILINE)
            if match:
                return match[1][:120]
    return "Linux"


def read_cpu(root: Path = Path("/")) -> CpuSpec:
    """Model, physical cores and threads. ARM kernels name neither model nor cores: then a core has one thread."""
    text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    blocks = [_fields(block) for block in text.strip().split("\n\n")]
    processors = [block for block in blocks if "processor" in block]
    cores = {(b["physical id"], b["core id"]) for b in processors if "physical id" in b and "core id" in b}
    threads = max(1, len(processors))
    first = processors[0] if processors else {}
    model = first.get("model name") or first.get("Model") or _arm_model(first)
    return CpuSpec(model=model[:200], cores=len(cores) or threads, threads=threads)


def read_memory(root: Path = Path("/")) -> Memory:
    """Total memory, and what programs use of it (caches are free)."""
    fields = _fields((root / "proc/meminfo").read_text(encoding="ascii"))
    total, available = (int(fields[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    return Memory(total, total - available)


def read_cpu_times(root: Path = Path("/")) -> CpuTimes:
    """Two of these tell how busy the CPUs were in between."""
    with (root / "proc/stat").open(encoding="ascii") as file:
        # user nice system idle iowait irq softirq steal; guest time is part of user time.
        ticks = [int(value) for value in file.readline().split()[1:9]]
    return CpuTimes(busy=sum(ticks) - ticks[3] - ticks[4], total=sum(ticks))


def read_cpu_celsius(root: Path = Path("/")) -> float | None:
    """The hottest CPU sensor; None where there is none (most virtual machines)."""
    sensors = [
        sensor
        for chip in sorted((root / "sys/class/hwmon").glob("hwmon*"))
        if _line(chip / "name") in CPU_SENSORS
        for sensor in chip.glob("temp*_input")
    ]
    sensors += [
        zone / "temp"
        for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
        if _line(zone / "type") in CPU_ZONES
    ]
    readings = [int(text) / 1000 for text in map(_line, sensors) if text.lstrip("-").isdigit()]
    return max(readings, default=None)


def disk_of(path: Path) -> tuple[int, int]:
    """Bytes (used, free to us) of the file system that holds a path, or its nearest folder that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    facts = os.statvfs(path)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_bavail * facts.f_frsize


def _fields(block: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _arm_model(fields: dict[str, str]) -> str:
    implementer, part = fields.get("CPU implementer"), fields.get("CPU part")
    return f"ARM {implementer}:{part}" if implementer and part else "unknown"


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
