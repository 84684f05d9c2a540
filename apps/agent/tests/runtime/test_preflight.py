"""The verdicts on engines, without one."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dcompute_agent.runtime.base import FaultKind, RuntimeFault
from dcompute_agent.runtime.docker.answers import InfoAnswer, VersionAnswer
from dcompute_agent.runtime.docker.host import has_blkio_weight
from dcompute_agent.runtime.docker.networks import parse_route
from dcompute_agent.runtime.docker.preflight import EngineReport, HostFacts, check_engine, parse_version
from dcompute_agent.runtime.firewall import configured_resolvers

GOOD_INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "xfs"]],
    "DockerRootDir": "/var/lib/docker",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "CgroupVersion": "2",
    "LiveRestoreEnabled": True,
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
}
GOOD_HOST = HostFacts(userland_proxy=False, blkio_weight=True, project_quota=True, toolkit_version="1.20.0")


def judge(
    *,
    engine: str = "28.5.1",
    runc: str = "1.3.3",
    host: HostFacts = GOOD_HOST,
    has_gpus: bool = False,
    info: Mapping[str, Any] = {},
) -> EngineReport:
    version = {"Version": engine, "ApiVersion": "1.51", "Components": [{"Name": "runc", "Version": runc}]}
    answer = InfoAnswer.model_validate({**GOOD_INFO, **info})
    return check_engine(VersionAnswer.model_validate(version), answer, host, has_gpus=has_gpus)


def test_a_good_engine_has_no_warning_and_all_abilities() -> None:
    report = judge()

    assert report.warnings == ()
    assert (report.abilities.disk_quota, report.abilities.blkio_weight, report.abilities.raise_ulimits) == (True,) * 3


@pytest.mark.parametrize("version", ["1.1.14", "1.2.7", "1.3.2"])
def test_a_runc_with_known_escapes_is_refused_with_what_to_upgrade_to(version: str) -> None:
    with pytest.raises(RuntimeFault, match=r"upgrade to 1\.2\.8, 1\.3\.3") as fault:
        judge(runc=version)

    assert fault.value.kind is FaultKind.REFUSED


@pytest.mark.parametrize("version", ["1.2.8", "1.2.9", "1.3.3", "1.4.0", "2.0.0"])
def test_a_fixed_runc_is_accepted(version: str) -> None:
    assert judge(runc=version).warnings == ()


@pytest.mark.parametrize("version", ["1.1.5+ds1-1+deb12u1", "1.1.12-0ubuntu3.1", ""])
def test_a_runc_that_cannot_be_judged_by_its_number_is_a_warning(version: str) -> None:
    assert ["runc" in warning for warning in judge(runc=version).warnings] == [True]


def test_a_container_toolkit_with_a_known_escape_is_refused() -> None:
    with pytest.raises(RuntimeFault, match="CVE-2025-23266"):
        judge(host=HostFacts(toolkit_version="NVIDIA Container Toolkit CLI version 1.17.7\ncommit: abc"))


def test_what_ends_instances_with_the_engine_is_a_warning() -> None:
    warnings = judge(
        host=HostFacts(userland_proxy=True, project_quota=True), info={"LiveRestoreEnabled": False}
    ).warnings

    assert any("live-restore" in warning for warning in warnings)
    assert any("userland-proxy" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("driver", "backing", "quota", "can"),
    [
        ("overlay2", "xfs", True, True),
        ("overlay2", "xfs", False, False),
        ("overlay2", "extfs", True, False),
        ("overlayfs", "xfs", True, False),
        ("zfs", "", False, True),
    ],
)
def test_the_disk_is_limited_only_where_the_driver_can(driver: str, backing: str, quota: bool, can: bool) -> None:
    report = judge(
        host=HostFacts(project_quota=quota),
        info={"Driver": driver, "DriverStatus": [["Backing Filesystem", backing]]},
    )

    assert report.abilities.disk_quota is can
    assert any("disk" in warning for warning in report.warnings) is not can


@pytest.mark.parametrize("limit", ["MemoryLimit", "CpuCfsQuota", "PidsLimit"])
def test_a_limit_that_the_kernel_lacks_is_a_warning(limit: str) -> None:
    assert any("cannot limit" in warning for warning in judge(info={limit: False}).warnings)


def test_no_seccomp_is_a_warning() -> None:
    for options in ([], ["name=seccomp,profile=unconfined"]):
        assert any("seccomp" in warning for warning in judge(info={"SecurityOptions": options}).warnings)


def test_gpus_need_an_engine_that_knows_cdi() -> None:
    assert any("CDI" in warning for warning in judge(engine="24.0.9", has_gpus=True).warnings)
    assert judge(engine="24.0.9").warnings == ()


def test_null_is_an_empty_answer() -> None:
    report = judge(info={"DriverStatus": None, "SecurityOptions": None})

    assert report.abilities.disk_quota is False


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.2.3", (1, 2, 3)), ("v28.0", (28, 0, 0)), ("runc version 1.3.3-rc1", (1, 3, 3)), ("", None)],
)
def test_the_first_number_of_a_text_is_its_version(text: str, numbers: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == numbers


def test_a_weight_file_of_either_cgroup_version_is_found(tmp_path: Path) -> None:
    assert has_blkio_weight(tmp_path, "2") is False
    (tmp_path / "system.slice").mkdir()
    (tmp_path / "system.slice" / "io.weight").touch()
    assert has_blkio_weight(tmp_path, "2") is True
    assert has_blkio_weight(tmp_path, "1") is False
    (tmp_path / "blkio").mkdir()
    (tmp_path / "blkio" / "blkio.weight").touch()
    assert has_blkio_weight(tmp_path, "1") is True


def test_a_route_of_the_kernel_is_read() -> None:
    line = "wg0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"

    assert parse_route(line) == ipaddress.IPv4Network("10.213.0.0/16")


def test_resolvers_are_those_that_an_instance_would_use(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n", encoding="ascii")
    real.write_text("# comment\nnameserver 192.168.1.1\nnameserver fe80::1\nnameserver 9.9.9.9\n", encoding="ascii")

    found = configured_resolvers([tmp_path / "absent", stub, real])

    assert [str(address) for address in found] == ["192.168.1.1", "9.9.9.9"]
