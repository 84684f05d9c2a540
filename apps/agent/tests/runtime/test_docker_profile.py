"""The hardened profile, as the engine shows it and as the kernel applies it."""

import re
from typing import Any

import pytest

from dcompute_agent.protocol.models import ResourceLimits, RunType
from dcompute_agent.runtime.base import ContainerExited, WatchStarted
from dcompute_agent.runtime.names import container_name, network_name

from .images import TestImages, busybox_files
from .lab import DockerLab
from .test_contract import next_event, watch

pytestmark = pytest.mark.docker

MIB = 1024 * 1024
#: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID as bits of a capability set.
CAPABILITY_BITS = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7))


async def test_inspect_shows_every_line_of_the_profile_and_no_mount(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()
    shown = await docker_lab.inspect(await docker_lab.create(spec, incarnation=2))

    assert shown["Name"] == f"/{container_name(spec.rental_id, 2)}"
    assert shown["Mounts"] == []
    assert_config(shown["Config"], docker_lab.node_id, spec.rental_id, spec.spec_sha)
    host: dict[str, Any] = shown["HostConfig"]
    expected = {
        "NanoCpus": 500_000_000,
        "CpuShares": 1024,
        "Memory": 64 * MIB,
        "MemorySwap": 64 * MIB,
        "PidsLimit": 64,
        "ShmSize": 8 * MIB,
        "OomScoreAdj": 500,
        "OomKillDisable": False,
        "CapDrop": ["ALL"],
        "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL"],
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges:true"],
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "NetworkMode": network_name(spec.rental_id),
        "PublishAllPorts": False,
        "AutoRemove": False,
        "ReadonlyRootfs": False,
        "Init": False,
    }
    assert {name: host[name] for name in expected} == expected
    assert not host["Binds"]
    assert not host.get("Mounts")
    assert not host["Devices"]
    assert not host["DeviceRequests"]
    assert host["RestartPolicy"]["Name"] == "no"
    assert {"Name": "core", "Soft": 0, "Hard": 0} in host["Ulimits"]
    assert host["PortBindings"] == {p: [{"HostIp": "127.0.0.1", "HostPort": ""}] for p in ("22/tcp", "8080/tcp")}
    assert host["LogConfig"] == {
        "Type": "local",
        "Config": {"max-size": "10m", "max-file": "3", "mode": "non-blocking"},
    }


def assert_config(config: dict[str, Any], node_id: str, rental_id: str, spec_sha: str) -> None:
    assert config["Entrypoint"] == ["/.dcompute/guest", "init"]
    assert config["User"] == "0:0"
    assert config["WorkingDir"] == "/"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"] == {
        "dc.node": node_id,
        "dc.rental": rental_id,
        "dc.incarnation": "2",
        "dc.spec": spec_sha,
    }


async def test_ports_are_published_on_loopback_only(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()

    ports = (await docker_lab.inspect(started))["NetworkSettings"]["Ports"]

    assert {binding["HostIp"] for bindings in ports.values() for binding in bindings} == {"127.0.0.1"}


async def test_an_image_cannot_choose_gpus_by_its_environment(docker_lab: DockerLab, test_images: TestImages) -> None:
    greedy = test_images.make("greedy", busybox_files(), ["ENV NVIDIA_VISIBLE_DEVICES=all"])

    shown = await docker_lab.inspect(await docker_lab.create(docker_lab.spec(image=greedy)))

    gpus = [line for line in shown["Config"]["Env"] if line.startswith("NVIDIA_VISIBLE_DEVICES=")]
    assert gpus == ["NVIDIA_VISIBLE_DEVICES=void"]


async def test_the_kernel_confines_the_processes(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()

    _, status = await docker_lab.exec(started, "/bin/cat", "/proc/1/status")

    fields = dict(re.findall(r"^(\w+):\s+(\S+)", status, re.MULTILINE))
    assert int(fields["CapBnd"], 16) == CAPABILITY_BITS
    assert int(fields["CapEff"], 16) == CAPABILITY_BITS
    assert fields["NoNewPrivs"] == "1"
    # 2: a filter is at work.
    assert fields["Seccomp"] == "2"


async def test_limits_stand_in_the_cgroup(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()

    async def value(v2: str, v1: str) -> str:
        script = f"cat /sys/fs/cgroup/{v2} 2>/dev/null || cat /sys/fs/cgroup/{v1}"
        return (await docker_lab.exec(started, "/bin/sh", "-c", script))[1].strip()

    assert await value("memory.max", "memory/memory.limit_in_bytes") == str(64 * MIB)
    assert await value("pids.max", "pids/pids.max") == "64"
    assert await value("memory.swap.max", "memory/memory.memsw.limit_in_bytes") in ("0", str(64 * MIB))
    assert (await value("cpu.max", "cpu/cpu.cfs_quota_us")).split()[0] == "50000"
    _, mounts = await docker_lab.exec(started, "/bin/cat", "/proc/mounts")
    (shm,) = [line for line in mounts.splitlines() if " /dev/shm " in line]
    assert "size=8192k" in shm


async def test_an_instance_that_takes_too_much_memory_is_told_as_out_of_memory(docker_lab: DockerLab) -> None:
    limits = ResourceLimits(cpu_cores=1, ram_limit="32m", pids=64, shm_mib=8)
    command = ["/bin/sh", "-c", "exec tail -c 1000000000 /dev/zero"]
    container = await docker_lab.create(docker_lab.spec(run_type=RunType.ARGS, command=command, resource_limits=limits))
    events = watch(docker_lab)
    try:
        assert await next_event(events) == WatchStarted()
        await docker_lab.runtime.start(container)
        assert await next_event(events) == ContainerExited(container.container_id, 137, oom_killed=True)
    finally:
        await events.aclose()
    (found,) = await docker_lab.runtime.list_containers()
    assert (found.exit_code, found.oom_killed) == (137, True)


async def test_a_program_that_ends_ends_its_instance_with_its_exit_code(docker_lab: DockerLab) -> None:
    container = await docker_lab.create(docker_lab.spec(run_type=RunType.ARGS, command=["/bin/sh", "-c", "exit 7"]))
    events = watch(docker_lab)
    try:
        assert await next_event(events) == WatchStarted()
        await docker_lab.runtime.start(container)
        assert await next_event(events) == ContainerExited(container.container_id, 7, oom_killed=False)
    finally:
        await events.aclose()
