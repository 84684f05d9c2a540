"""An engine that goes away, hangs and comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dcompute_agent.runtime.base import ContainerExited, ContainerState, FaultKind, RuntimeFault, WatchStarted
from dcompute_agent.runtime.docker import DockerRuntime, DockerSettings, engine

from .cable import Cable
from .lab import DockerLab, DockerLabSettings
from .test_contract import next_event, watch

pytestmark = pytest.mark.docker


class CabledLab(DockerLab):
    """Its runtimes reach the engine through a cable."""

    def __init__(self, settings: DockerLabSettings, cable: Cable) -> None:
        self.cable = cable
        super().__init__(settings)

    def runtime_of(self, node_id: str | None) -> DockerRuntime:
        settings = DockerSettings(guest=self.settings.guest, docker_host=self.cable.docker_host)
        return self.keep(DockerRuntime(settings, lambda: node_id), node_id)


@pytest.fixture
async def cabled_lab(docker_lab_settings: DockerLabSettings, tmp_path: Path) -> AsyncIterator[CabledLab]:
    cable = Cable(tmp_path / "engine.sock", docker_lab_settings.docker_host)
    await cable.plug_in()
    lab = CabledLab(docker_lab_settings, cable)
    try:
        await lab.runtime.load()
        yield lab
    finally:
        cable.unclog()
        await lab.close()
        await cable.pull_out()


async def test_a_watch_that_broke_begins_again_and_says_so(cabled_lab: CabledLab) -> None:
    lost, kept = await cabled_lab.run(), await cabled_lab.run()
    events = watch(cabled_lab)
    try:
        assert await next_event(events) == WatchStarted()
        await cabled_lab.cable.pull_out()
        # Nobody saw this end: whoever hears that the watch began anew looks for himself.
        await cabled_lab.end(lost)
        await cabled_lab.cable.plug_in()

        assert await next_event(events) == WatchStarted()
        states = {c.container_id: c.state for c in await cabled_lab.runtime.list_containers()}
        assert states == {lost.container_id: ContainerState.STOPPED, kept.container_id: ContainerState.RUNNING}

        await cabled_lab.end(kept)
        assert await next_event(events) == ContainerExited(kept.container_id, 137, oom_killed=False)
    finally:
        await events.aclose()


async def test_a_watch_begins_before_the_engine_is_there(cabled_lab: CabledLab) -> None:
    await cabled_lab.cable.pull_out()
    events = watch(cabled_lab)
    try:
        first = asyncio.ensure_future(anext(events))
        with pytest.raises(RuntimeFault):
            await cabled_lab.runtime.list_containers()

        await cabled_lab.cable.plug_in()

        assert await asyncio.wait_for(first, 20) == WatchStarted()
    finally:
        await events.aclose()


async def test_an_exit_of_an_earlier_run_is_not_told(cabled_lab: CabledLab) -> None:
    started, other = await cabled_lab.run(), await cabled_lab.run()
    events = watch(cabled_lab)
    try:
        assert await next_event(events) == WatchStarted()
        cabled_lab.cable.clog()
        await cabled_lab.end(started)
        # It runs again before the runtime hears of its end.
        await cabled_lab.docker.containers.container(started.container_id).start()
        cabled_lab.cable.unclog()
        await cabled_lab.end(other)

        assert await next_event(events) == ContainerExited(other.container_id, 137, oom_killed=False)
    finally:
        await events.aclose()


async def test_an_engine_that_is_away_is_unavailable_and_is_found_again(cabled_lab: CabledLab) -> None:
    started = await cabled_lab.run()
    await cabled_lab.cable.pull_out()
    for call in (cabled_lab.runtime.load, cabled_lab.runtime.list_containers):
        with pytest.raises(RuntimeFault) as fault:
            await call()
        assert fault.value.kind is FaultKind.UNAVAILABLE

    await cabled_lab.cable.plug_in()

    assert list(await cabled_lab.runtime.list_containers()) == [started]


async def test_an_engine_that_hangs_does_not_hang_the_agent(
    cabled_lab: CabledLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await cabled_lab.run()
    monkeypatch.setattr(engine, "QUICK_S", 0.3)
    cabled_lab.cable.clog()

    with pytest.raises(RuntimeFault) as fault:
        await asyncio.wait_for(cabled_lab.runtime.find(started.rental_id), 10)

    assert fault.value.kind is FaultKind.UNAVAILABLE


async def test_a_container_that_hangs_does_not_hide_the_others(
    cabled_lab: CabledLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, other = await cabled_lab.run(), await cabled_lab.run()
    assert len(await cabled_lab.runtime.list_containers()) == 2
    monkeypatch.setattr(engine, "QUICK_S", 1.0)
    cabled_lab.cable.swallowed = f"/containers/{hanging.container_id}/json".encode()

    found = await asyncio.wait_for(cabled_lab.runtime.list_containers(), 10)

    assert {container.container_id: container for container in found} == {
        hanging.container_id: hanging,
        other.container_id: other,
    }
