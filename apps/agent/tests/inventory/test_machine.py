"""Facts of machines, from their own files."""

from pathlib import Path

import pytest

from dcompute_agent.inventory.gpus import NoGpus
from dcompute_agent.inventory.machine import (
    UnsupportedMachineError,
    architecture_of,
    disk_of,
    read_cpu,
    read_cpu_celsius,
    read_cpu_times,
    read_memory,
    read_os_name,
)
from dcompute_agent.inventory.metrics import MetricsReader
from dcompute_agent.inventory.specs import MAX_WARNINGS, offerable_disk_gib, read_specs
from dcompute_agent.runtime.base import EngineFacts

ENGINE = EngineFacts("docker", "28.5.2", "/", firewall=True, warnings=("w" * 1000,) * 100)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def x86_thread(number: int, package: int, core: int) -> str:
    return f"processor\t: {number}\nmodel name\t: AMD EPYC 7543\nphysical id\t: {package}\ncore id\t\t: {core}\n"


def test_cores_are_counted_over_packages_and_threads_once_each(tmp_path: Path) -> None:
    threads = [x86_thread(n, package=n % 2, core=n // 4) for n in range(8)]
    write(tmp_path, "proc/cpuinfo", "\n".join(threads))

    cpu = read_cpu(tmp_path)

    assert (cpu.model, cpu.cores, cpu.threads) == ("AMD EPYC 7543", 4, 8)


def test_an_arm_processor_names_its_part_and_no_cores(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n")

    cpu = read_cpu(tmp_path)

    assert (cpu.model, cpu.cores, cpu.threads) == ("ARM 0x41:0xd0c", 2, 2)


def test_caches_count_as_free_memory(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 2097152 kB\nMemFree: 1024 kB\nMemAvailable: 1048576 kB\n")

    memory = read_memory(tmp_path)

    assert (memory.total_mib, memory.used_mib) == (2048, 1024)


def test_the_hottest_cpu_sensor_counts_and_others_do_not(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/hwmon/hwmon0/name", "nvme\n")
    write(tmp_path, "sys/class/hwmon/hwmon0/temp1_input", "90000\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/name", "coretemp\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/temp1_input", "45500\n")
    write(tmp_path, "sys/class/hwmon/hwmon1/temp2_input", "not a number\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "47000\n")

    assert read_cpu_celsius(tmp_path) == 47.0


def test_a_machine_without_sensors_has_no_temperature(tmp_path: Path) -> None:
    assert read_cpu_celsius(tmp_path) is None


def test_waiting_for_disks_is_not_being_busy(tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", "cpu  10 1 9 70 10 0 0 0 5 0\n")

    times = read_cpu_times(tmp_path)

    assert (times.busy, times.total) == (20, 100)


def test_the_distribution_is_named_as_it_calls_itself(tmp_path: Path) -> None:
    write(tmp_path, "etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')

    assert read_os_name(tmp_path) == "Debian GNU/Linux 12 (bookworm)"
    assert read_os_name(tmp_path / "nowhere") == "Linux"


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_the_architecture_is_that_of_images(machine: str, name: str) -> None:
    assert architecture_of(machine).value == name


def test_a_machine_that_no_image_runs_on_is_refused() -> None:
    with pytest.raises(UnsupportedMachineError, match="s390x"):
        architecture_of("s390x")


def test_the_disk_of_a_folder_that_is_not_made_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    used, free = disk_of(tmp_path / "later" / "on")

    assert used > 0
    assert free >= 0
    assert offerable_disk_gib(tmp_path) <= free // 1024**3


def test_this_machine_can_be_described_within_the_limits_of_the_protocol() -> None:
    specs = read_specs(ENGINE, NoGpus(), disk_gib=100)

    assert specs.cpu.threads >= specs.cpu.cores >= 1
    assert specs.ram_mib > 0
    assert len(specs.warnings) == MAX_WARNINGS
    assert specs.gpus == []


def test_utilization_is_that_since_the_reading_before(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\n")
    write(tmp_path, "proc/stat", "cpu  10 0 10 80 0 0 0 0\n")
    reader = MetricsReader(NoGpus(), tmp_path, tmp_path)
    assert reader.read()[0].cpu_utilization is None

    write(tmp_path, "proc/stat", "cpu  40 0 30 130 0 0 0 0\n")

    assert reader.read()[0].cpu_utilization == 50.0
