"""What the node offers: said in every hello."""

import platform
import socket
from pathlib import Path

from ..protocol.models import ContainerEngine, NodeSpecs
from ..runtime.base import EngineFacts
from .gpus import GpuInventory
from .machine import GIB, architecture_of, disk_of, read_cpu, read_memory, read_os_name

#: Memory that stays with the host: the agent, the engine, frpc and the kernel.
HOST_MEMORY_MIB = 512
#: Disk that stays with the host, so that a full instance does not fill the engine's own file system.
HOST_DISK_SHARE = 0.05
MAX_WARNINGS = 32
MAX_WARNING_CHARACTERS = 400


def offerable_disk_gib(data_root: Path) -> int:
    """Room for containers and their images on the engine's file system.

    Only honest while none of our containers is there: what they use is offered already. So it is read once on a
    fresh node and remembered.
    """
    used, free = disk_of(data_root)
    return max(0, int((free - (used + free) * HOST_DISK_SHARE) // GIB))


def read_specs(engine: EngineFacts, gpus: GpuInventory, *, disk_gib: int, root: Path = Path("/")) -> NodeSpecs:
    """The node's specs. Raises UnsupportedMachineError."""
    memory = read_memory(root)
    return NodeSpecs(
        hostname=socket.gethostname()[:253],
        os=read_os_name(root),
        kernel=platform.release()[:120],
        arch=architecture_of(platform.machine()),
        cpu=read_cpu(root),
        ram_mib=max(1, memory.total_mib - HOST_MEMORY_MIB),
        disk_gib=disk_gib,
        gpus=list(gpus.specs()),
        container_engine=ContainerEngine(name=engine.name[:60], version=engine.version[:60]),
        firewall=engine.firewall,
        warnings=[warning[:MAX_WARNING_CHARACTERS] for warning in engine.warnings[:MAX_WARNINGS]],
    )
