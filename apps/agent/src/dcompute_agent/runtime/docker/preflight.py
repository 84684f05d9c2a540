"""What an engine can do, what speaks against it, and what rules it out. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..base import FaultKind, RuntimeFault
from ..profile import EngineAbilities
from .answers import InfoAnswer, VersionAnswer

#: Storage drivers that limit a container's disk on any file system.
QUOTA_DRIVERS = frozenset({"btrfs", "zfs"})
#: First fixed releases per series: CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 (an instance could reach its host).
RUNC_FIXED = ((1, 2, 8), (1, 3, 3))
#: CVE-2025-23266 (an image could run code on the host) and those before it.
TOOLKIT_FIXED = (1, 17, 8)
#: The last release with a known weakness that has no published fixed version is below this one: CVE-2026-24260.
TOOLKIT_ADVISED = (1, 20, 0)
#: Debian and Ubuntu, Red Hat and Fedora: they mend what they ship without changing its number.
DISTRIBUTION_BUILD = r"(\+ds|deb|ubuntu|\.el|\.fc|rhaos)\d"
CDI_SINCE = (25, 0, 0)
MAX_WARNINGS = 32
MAX_WARNING = 400


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the engine does not say and the host does."""

    #: None: could not be seen.
    userland_proxy: bool | None = None
    blkio_weight: bool = False
    #: Programs of this machine can hold CAP_SYS_RESOURCE.
    raise_ulimits: bool = True
    #: The file system under the engine's data enforces project quotas.
    project_quota: bool = False
    #: The answer of `nvidia-ctk --version`; empty where there is none.
    toolkit_version: str = ""
    #: A route of the host that the range of the rentals' networks lies in.
    overlapped_route: str | None = None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The verdict on an engine."""

    abilities: EngineAbilities
    warnings: tuple[str, ...]


def check_engine(version: VersionAnswer, info: InfoAnswer, host: HostFacts, *, has_gpus: bool) -> EngineReport:
    """Judges an engine. Raises RuntimeFault(REFUSED) for versions from which an instance can escape."""
    abilities = EngineAbilities(
        blkio_weight=host.blkio_weight,
        disk_quota=_has_disk_quota(info, host),
        raise_ulimits=host.raise_ulimits,
    )
    warnings = [
        *_limits(info, abilities),
        *_survival(info, host),
        *_runc(version),
        *_toolkit(host.toolkit_version),
        *_gpu_support(version, has_gpus=has_gpus),
    ]
    return EngineReport(abilities, tuple(text[:MAX_WARNING] for text in warnings[:MAX_WARNINGS]))


def _has_disk_quota(info: InfoAnswer, host: HostFacts) -> bool:
    backing = dict(info.driver_status).get("Backing Filesystem")
    return info.driver in QUOTA_DRIVERS or (info.driver == "overlay2" and backing == "xfs" and host.project_quota)


def _limits(info: InfoAnswer, abilities: EngineAbilities) -> list[str]:
    warnings: list[str] = []
    lacking = {
        "memory": info.memory_limit,
        "swap": info.swap_limit or info.cgroup_version == "2",
        "CPU": info.cpu_cfs_quota,
        "process count": info.pids_limit,
    }
    warnings += [f"this kernel cannot limit the {name} of an instance" for name, can in lacking.items() if not can]
    if not any(option.startswith("name=seccomp") and "unconfined" not in option for option in info.security_options):
        warnings.append("the engine runs containers without its seccomp profile")
    if not abilities.raise_ulimits:
        warnings.append(
            "this machine cannot raise limits: instances have the engine's own for open files and locked memory"
        )
    if not abilities.disk_quota:
        warnings.append(
            f"the storage driver {info.driver} cannot limit an instance's disk here; "
            "overlay2 on XFS mounted with pquota can"
        )
    return warnings


def _survival(info: InfoAnswer, host: HostFacts) -> list[str]:
    warnings: list[str] = []
    if not info.live_restore_enabled:
        warnings.append('instances end with the engine: set "live-restore": true in daemon.json')
    if host.userland_proxy:
        warnings.append('sessions end with the engine: set "userland-proxy": false in daemon.json')
    if host.overlapped_route is not None:
        warnings.append(
            f"the networks of rentals hide parts of the route {host.overlapped_route}: set another network range"
        )
    return warnings


def _runc(version: VersionAnswer) -> list[str]:
    text = next((part.version for part in version.components if part.name == "runc"), "")
    numbers = parse_version(text)
    if numbers is None:
        return ["the version of runc could not be seen: it must be 1.2.8, 1.3.3 or newer"]
    if _is_fixed(numbers, RUNC_FIXED):
        return []
    if re.search(DISTRIBUTION_BUILD, text):
        return [
            f"runc {text} is a distribution's build: see that it has the fixes of CVE-2025-31133, -52565 and -52881"
        ]
    raise RuntimeFault(
        FaultKind.REFUSED,
        f"runc {text} lets an instance escape (CVE-2025-31133, -52565, -52881): upgrade to 1.2.8, 1.3.3 or newer",
    )


def _is_fixed(numbers: tuple[int, int, int], fixed: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a release is in a fixed series at or after its fix, or in a later series."""
    same_series = [release for release in fixed if release[:2] == numbers[:2]]
    return numbers >= same_series[0] if same_series else numbers > max(fixed)


def _toolkit(answer: str) -> list[str]:
    numbers = parse_version(answer)
    if numbers is None:
        return []
    text = ".".join(map(str, numbers))
    if numbers < TOOLKIT_FIXED:
        raise RuntimeFault(
            FaultKind.REFUSED,
            f"NVIDIA Container Toolkit {text} lets an image escape (CVE-2025-23266): upgrade to 1.20.0 or newer",
        )
    if numbers < TOOLKIT_ADVISED:
        return [f"NVIDIA Container Toolkit {text} has known weaknesses: upgrade to 1.20.0 or newer"]
    return []


def _gpu_support(version: VersionAnswer, *, has_gpus: bool) -> list[str]:
    numbers = parse_version(version.version)
    if has_gpus and numbers is not None and numbers < CDI_SINCE:
        return [f"Docker {version.version} cannot give GPUs to instances by CDI: 25.0 or newer is needed"]
    return []


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The first version number in a text."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
