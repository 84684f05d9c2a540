"""Processes that outlive the one that started them."""

import subprocess
import sys
import uuid

import pytest

from dcompute_agent.process import find_processes

from .support.waiting import until

SLEEP = "import time; print(flush=True); time.sleep(1000)"


@pytest.mark.docker
async def test_a_process_of_a_container_is_never_taken_for_one_of_ours() -> None:
    marker = f"/no/such/{uuid.uuid4().hex}"
    # The marker comes by a pipe, so that the arguments of `unshare` itself, which runs here, do not end like it.
    inside = subprocess.Popen(
        [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            f'exec "$0" -c "{SLEEP}" -c "$(cat)"',
            sys.executable,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    outside: subprocess.Popen[bytes] | None = None
    try:
        assert inside.stdin is not None
        assert inside.stdout is not None
        inside.stdin.write(marker.encode())
        inside.stdin.close()
        assert inside.stdout.readline() == b"\n"
        assert find_processes(["-c", marker]) == []

        outside = subprocess.Popen([sys.executable, "-c", SLEEP, "-c", marker], stdout=subprocess.DEVNULL)
        pid = outside.pid

        await until(lambda: [found.pid for found in find_processes(["-c", marker])] == [pid], what="our own process")
    finally:
        for process in filter(None, (inside, outside)):
            process.kill()
            process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()
