"""What this machine says about itself where the engine says nothing."""

import asyncio
import ipaddress
import shutil
from pathlib import Path

from .answers import InfoAnswer
from .networks import overlapped_route
from .preflight import HostFacts

CGROUP_ROOT = Path("/sys/fs/cgroup")
MOUNTS_FILE = Path("/proc/self/mountinfo")
WEIGHT_FILES = ("io.weight", "io.bfq.weight", "blkio.weight", "blkio.bfq.weight")
QUOTA_OPTIONS = frozenset({"pquota", "prjquota"})
INIT_STATUS_FILE = Path("/proc/1/status")
CAP_SYS_RESOURCE = 24
COMMAND_S = 10.0


async def look_at_host(info: InfoAnswer, network_range: ipaddress.IPv4Network) -> HostFacts:
    """Facts of the machine that agent and engine share."""
    return HostFacts(
        userland_proxy=await _userland_proxy(),
        blkio_weight=has_blkio_weight(CGROUP_ROOT, info.cgroup_version),
        raise_ulimits=_can_raise_ulimits(),
        project_quota=_has_project_quota(info.docker_root_dir),
        toolkit_version=await _output("nvidia-ctk", "--version"),
        overlapped_route=overlapped_route(network_range),
    )


def has_blkio_weight(root: Path, cgroup_version: str) -> bool:
    """Whether this kernel shares disk time by weight. With cgroup v2 the root itself never has the file."""
    folders = [root / "blkio"] if cgroup_version == "1" else [path for path in root.glob("*") if path.is_dir()]
    return any((folder / name).exists() for folder in folders for name in WEIGHT_FILES)


def _can_raise_ulimits() -> bool:
    """What the first process may never hold, the engine cannot hold either (virtual machines and containers)."""
    try:
        lines = INIT_STATUS_FILE.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return True
    bounding = next((line.split()[1] for line in lines if line.startswith("CapBnd:")), "")
    return not bounding or bool(int(bounding, 16) >> CAP_SYS_RESOURCE & 1)


async def _userland_proxy() -> bool | None:
    """Without its proxy the engine redirects loopback too: its rule then makes no exception for 127.0.0.0/8."""
    rules = await _output("iptables", "-w", "5", "-t", "nat", "-S", "OUTPUT")
    redirects = [line for line in rules.splitlines() if line.endswith("-j DOCKER")]
    return any("! -d 127.0.0.0/8" in line for line in redirects) if redirects else None


def _has_project_quota(folder: str) -> bool:
    """Whether the mount that holds a folder has the option."""
    try:
        lines = MOUNTS_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    # Fields: id parent device root mount-point options … - type source super-options
    mounts = [line.split() for line in lines]
    holding = [fields for fields in mounts if Path(folder).is_relative_to(fields[4])]
    innermost = max(holding, key=lambda fields: len(fields[4]), default=None)
    return innermost is not None and bool(QUOTA_OPTIONS & set(innermost[-1].split(",")))


async def _output(program: str, *arguments: str) -> str:
    """What a program prints; empty when it is absent or fails."""
    if shutil.which(program) is None:
        return ""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace") if process.returncode == 0 else ""
