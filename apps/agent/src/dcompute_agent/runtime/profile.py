"""The hardened profile: how every container is made (design section 9). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..protocol.models import InstanceSpec, ResourceLimits
from .base import FaultKind, Image, RuntimeFault
from .names import LABEL_INCARNATION, LABEL_NODE, LABEL_RENTAL, LABEL_SPEC, network_name

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]

#: What a shell, a package manager and an SSH server need; everything else is dropped.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
GUEST_PATH = "/.dcompute/guest"
DEFAULT_PIDS = 4096
MAX_DEFAULT_SHM_MIB = 65_536
MIB = 1024 * 1024
UNITS = {"k": 1024, "m": MIB, "g": 1024 * MIB}
ULIMITS: tuple[Mapping[str, Json], ...] = ({"Name": "core", "Soft": 0, "Hard": 0},)
#: GPU programs pin memory; servers and data loaders open many files.
RAISED_ULIMITS: tuple[Mapping[str, Json], ...] = (
    {"Name": "nofile", "Soft": 65_536, "Hard": 1_048_576},
    {"Name": "memlock", "Soft": -1, "Hard": -1},
)
#: Middle of the range 10..1000: every instance the same weight.
BLKIO_WEIGHT = 500


@dataclass(frozen=True, slots=True)
class EngineAbilities:
    """What only some engines can do."""

    blkio_weight: bool = False
    disk_quota: bool = False
    #: Whether it may raise limits above its own; where not, asking for more would keep every container from starting.
    raise_ulimits: bool = False


def bytes_of(limit: str) -> int:
    """The bytes of a limit such as `16g` (binary units)."""
    return int(limit[:-1]) * UNITS[limit[-1]]


def container_config(
    node_id: str,
    spec: InstanceSpec,
    incarnation: int,
    image: Image,
    gpu_uuids: Sequence[str],
    abilities: EngineAbilities,
) -> Mapping[str, Json]:
    """The body of the engine's create call."""
    ports = [f"{port}/tcp" for port in spec.container_ports]
    return {
        "Image": image.image_id,
        "Hostname": spec.rental_id[:12],
        "Labels": {
            LABEL_NODE: node_id,
            LABEL_RENTAL: spec.rental_id,
            LABEL_INCARNATION: str(incarnation),
            LABEL_SPEC: spec.spec_sha,
        },
        "Entrypoint": [GUEST_PATH, "init"],
        "Cmd": [],
        # The guest drops to the image's user itself; it must be root to serve every user.
        "User": "0:0",
        "WorkingDir": "/",
        # Not the image's own: the guest takes SIGTERM for the end of everything.
        "StopSignal": "SIGTERM",
        # An image must not choose GPUs through its environment (the toolkit's legacy mode obeys this variable).
        "Env": ["NVIDIA_VISIBLE_DEVICES=void"],
        "ExposedPorts": {port: {} for port in ports},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, ports, gpu_uuids, abilities),
    }


def _host_config(
    spec: InstanceSpec, ports: Sequence[str], gpu_uuids: Sequence[str], abilities: EngineAbilities
) -> Mapping[str, Json]:
    limits = spec.resource_limits
    memory = bytes_of(limits.ram_limit)
    config: dict[str, Json] = {
        "NanoCpus": round(limits.cpu_cores * 1e9),
        "CpuShares": 1024,
        "Memory": memory,
        # Equal to Memory: no swap.
        "MemorySwap": memory,
        "PidsLimit": limits.pids or DEFAULT_PIDS,
        "ShmSize": _shm_bytes(limits, memory),
        "OomScoreAdj": 500,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "Privileged": False,
        # The engine's default seccomp profile (and AppArmor profile, where there is one) applies unless named here.
        "SecurityOpt": ["no-new-privileges:true"],
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "Init": False,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "Ulimits": list(ULIMITS + (RAISED_ULIMITS if abilities.raise_ulimits else ())),
        "Binds": [],
        "Mounts": [],
        "NetworkMode": network_name(spec.rental_id),
        "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in ports},
        "PublishAllPorts": False,
        "LogConfig": {"Type": "local", "Config": {"max-size": "10m", "max-file": "3", "mode": "non-blocking"}},
    }
    if abilities.blkio_weight:
        config["BlkioWeight"] = BLKIO_WEIGHT
    if abilities.disk_quota and limits.disk_limit is not None:
        config["StorageOpt"] = {"size": str(bytes_of(limits.disk_limit))}
    if gpu_uuids:
        devices = [f"nvidia.com/gpu={uuid}" for uuid in gpu_uuids]
        config["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": devices}]
    return config


def gpus_of(limits: ResourceLimits, uuid_by_index: Mapping[int, str]) -> list[str]:
    """The GPUs of a spec: uuids decide; indices are looked up where only they are given.

    Raises RuntimeFault(REFUSED) for an index that this node does not have.
    """
    if limits.gpu_uuids is not None:
        return list(limits.gpu_uuids)
    try:
        return [uuid_by_index[int(index)] for index in limits.gpu_indices]
    except (KeyError, ValueError) as error:
        raise RuntimeFault(FaultKind.REFUSED, f"this node has no GPU with index {error}") from error


def _shm_bytes(limits: ResourceLimits, memory: int) -> int:
    """Half the memory by default, as the kernel does for /dev/shm: data loaders fail with Docker's 64 MiB."""
    if limits.shm_mib is not None:
        return limits.shm_mib * MIB
    return max(MIB, min(memory // 2, MAX_DEFAULT_SHM_MIB * MIB))
