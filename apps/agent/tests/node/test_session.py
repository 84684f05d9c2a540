"""One session: what is said, how often, and what ends it."""

import asyncio
import json
import time
from collections.abc import Sequence
from http import HTTPStatus

import pytest

from dcompute_agent.connection.dialogue import MAX_MALFORMED
from dcompute_agent.journal.store import Change, JournalStore
from dcompute_agent.protocol import models as m
from dcompute_agent.runtime.simulated import SimulatedSettings

from ..support.agent import Host
from ..support.backend import HOST_KEY, NODE_ID, BackendDouble
from ..support.conversation import ack, beats, give_specs, join, run, start_of
from ..support.fixtures import fixture_data, spec_for, wish
from ..support.waiting import until


async def test_the_host_key_is_the_bearer_and_the_hello_tells_what_the_node_is(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        hello = await (await backend.session()).welcome()

        assert backend.authorization == f"Bearer {HOST_KEY}"
        assert hello.specs.container_engine.name == "simulated"
        assert hello.specs.cpu.threads >= 1
        assert hello.specs.ram_mib > 100


async def test_a_node_keeps_its_key_and_takes_a_new_session_id_for_each_session(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        first = await backend.session()
        one = await first.welcome()
        await first.socket.close(1001, "restart")
        two = await (await backend.session()).welcome()

        assert one.public_key == two.public_key
        assert one.session_id != two.session_id


async def test_after_the_welcome_the_full_set_of_instances_comes_in_parts(backend: BackendDouble, host: Host) -> None:
    items = [wish(n, desired="stopped", reason="renter_stopped") for n in range(450)]
    async with host.agent():
        session = await join(backend)
        for part, start in enumerate(range(0, 450, 150), start=1):
            await session.desire(1, *items[start : start + 150], part=part, parts=3)
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 1)
        await until(lambda: len(session.reported()) == 450, what="all reports")
        await session.socket.close(1001, "restart")

        session = await join(backend)

        parts = [
            await session.expect(
                m.Heartbeat, lambda b, n=n: b.instances_part is not None and b.instances_part.part == n
            )
            for n in (1, 2, 3)
        ]
        assert [len(part.instances) for part in parts] == [200, 200, 50]
        assert {r.placement_id for part in parts for r in part.instances} == {item.placement_id for item in items}
        assert [part.instances_part.parts for part in parts if part.instances_part] == [3, 3, 3]


async def test_heartbeats_rise_in_seq_and_carry_a_change_until_it_is_acknowledged(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish())
        await until(lambda: not session.all(m.Heartbeat)[-1].instances, what="a beat without news")
        session.acknowledges = False
        await session.desire(2, wish(gen=2, desired="stopped", reason="renter_stopped"))
        await session.phase(wish(gen=2), "stopped")
        session.forget()

        unheard = await beats(session, 3)

        assert all([r.phase.value for r in beat.instances] == ["stopped"] for beat in unheard)
        seqs = [beat.seq or 0 for beat in unheard]
        assert seqs == list(range(seqs[0], seqs[0] + 3))


async def test_usage_comes_signed_and_again_until_it_is_committed(backend: BackendDouble, host: Host) -> None:
    async with host.agent() as agent:
        session = await join(backend)
        session.commits_usage = False
        await run(session, 1, wish())
        beat = await session.expect(m.Heartbeat, lambda beat: beat.usage)
        segment = beat.usage[0]
        assert segment.segment_id in agent.parts.journal.segments
        await session.socket.close(1001, "restart")

        session = await join(backend)

        again = await session.expect(m.Heartbeat, lambda beat: beat.usage)
        assert again.usage[0] == segment
        await until(lambda: segment.segment_id not in agent.parts.journal.segments, what="the commit to be noted")


async def test_a_usage_segment_is_on_disk_before_the_backend_hears_of_it(
    backend: BackendDouble, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: set[object] = set()
    commit = JournalStore.commit

    def commit_slowly(store: JournalStore, changes: Sequence[Change]) -> None:
        time.sleep(0.1)
        commit(store, changes)
        on_disk.update(change.values[0] for change in changes if "INTO usage_segment" in change.sql)

    monkeypatch.setattr(JournalStore, "commit", commit_slowly)
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish())
        heard = 0
        while heard < 5:
            beat = await session.expect(m.Heartbeat, lambda beat: beat.usage)
            assert {segment.segment_id for segment in beat.usage} <= on_disk
            heard += len(beat.usage)
            session.heard.clear()


async def test_a_list_whose_parts_are_of_two_revisions_has_no_effect(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.desire(1, wish(1), part=1, parts=2)
        await session.desire(2, wish(2), part=2, parts=2)
        await beats(session, 5)

        assert session.all(m.GetSpec) == []
        assert session.all(m.Heartbeat)[-1].rev_applied == 0


async def test_an_unknown_event_is_ignored_and_a_malformed_message_answered(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.send("message_of_tomorrow", {"x": 1})
        await session.socket.send("not JSON")

        error = await session.expect(m.ProtocolError)

        assert error.code is m.AgentErrorCode.AGENT_MALFORMED_MESSAGE
        assert len(session.all(m.ProtocolError)) == 1
        await beats(session, 2)


async def test_too_many_malformed_messages_end_the_session(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        for _ in range(MAX_MALFORMED + 1):
            await session.socket.send("{}")

        assert await session.closed() == 1008


async def test_a_message_over_the_limit_ends_the_session(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.socket.send(json.dumps({"event": "x", "data": {"text": "a" * 300_000}}))

        assert await session.closed() == 1009


async def test_a_spec_that_is_not_what_its_sha_names_is_refused(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session, item = await join(backend), wish()
        start = start_of(item)
        start["spec"]["env_vars"] = {"CHANGED": "1"}
        await session.send("start_instance", start)

        answer = await session.expect(m.Ack)

        assert answer.result is m.CommandResult.REJECTED
        assert host.machine.containers == {}


async def test_the_bare_commands_of_the_specification_are_no_commands_to_act_on(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session, item = await join(backend), wish()
        await run(session, 1, item)
        await session.send("stop_instance", {"rental_id": item.rental_id, "cmd_id": "cmd-bare"})

        assert await ack(session, "cmd-bare") == "rejected"
        assert host.running() == ["rental-1"]


async def test_new_ssh_keys_reach_the_instance_without_a_new_container(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session, item = await join(backend), wish(gen=1)
        await run(session, 1, item)
        (container_id,) = host.machine.containers
        update = {
            "cmd_id": "cmd-keys",
            "rental_id": item.rental_id,
            "placement_id": item.placement_id,
            "gen": 2,
            "ssh_keys": ["ssh-ed25519 BBBB other"],
        }
        await session.send("update_ssh_keys", update)
        assert await ack(session, "cmd-keys") == "accepted"

        await until(
            lambda: host.machine.containers[container_id].ssh_keys == ("ssh-ed25519 BBBB other",), what="the new keys"
        )
        assert host.running() == ["rental-1"]


async def test_keys_for_an_unknown_placement_are_rejected(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.send("update_ssh_keys", fixture_data("backend.update_ssh_keys"))

        assert await ack(session, "cmd-5") == "rejected"


@pytest.mark.parametrize(("mode", "status"), [("no_new", "maintenance"), ("undo", "online")])
async def test_draining_shows_in_the_status_until_it_is_undone_or_the_session_ends(
    backend: BackendDouble, host: Host, mode: str, status: str
) -> None:
    async with host.agent():
        session = await join(backend)
        await session.send("drain_node", {"mode": "no_new"})
        await session.expect(m.Heartbeat, lambda beat: beat.status.value == "maintenance")
        await session.send("drain_node", {"mode": mode})
        await session.expect(m.Heartbeat, lambda beat: beat is session.all(m.Heartbeat)[-1])
        await until(lambda: session.all(m.Heartbeat)[-1].status.value == status, what="the status")

        await session.socket.close(1001, "restart")

        session = await join(backend)
        assert (await session.expect(m.Heartbeat)).status.value == "online"


async def test_pull_progress_is_told_but_at_most_four_times_a_second(backend: BackendDouble, host: Host) -> None:
    host.machine.settings = SimulatedSettings(layers=100, layer_s=0.01)
    async with host.agent():
        session, item = await join(backend), wish()
        loop = asyncio.get_running_loop()
        await session.send("start_instance", start_of(item))
        await session.phase(item, "pulling")
        began = loop.time()
        await session.phase(item, "creating")
        lasted = loop.time() - began

        told = [r for r in session.all(m.InstanceReport) if r.phase is m.InstancePhase.PULLING]

        assert 2 <= len(told) <= lasted / 0.25 + 2


async def test_an_image_that_does_not_exist_ends_the_start_with_its_reason(backend: BackendDouble, host: Host) -> None:
    host.machine.settings = SimulatedSettings(missing_images=frozenset({spec_for("rental-1").image}))
    async with host.agent():
        session, item = await join(backend), wish()
        await session.send("start_instance", start_of(item))

        report = await session.phase(item, "failed")

        assert report.reason is m.RentalEndReason.IMAGE_NOT_FOUND


async def test_an_instance_whose_program_ends_has_failed_with_its_exit_code(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session, item = await join(backend), wish()
        await run(session, 1, item)
        (container_id,) = host.machine.containers

        await host.machine.end(container_id, 3)

        report = await session.phase(item, "failed")
        assert (report.reason, report.exit_code) == (m.RentalEndReason.INSTANCE_EXITED, 3)


async def test_a_slow_backend_holds_the_agent_back_instead_of_filling_its_memory(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish())
        transport = session.socket.transport
        transport.pause_reading()
        await session.desire(2, *(wish(n, desired="stopped", reason="renter_stopped") for n in range(2, 152)))
        await until(lambda: len(host.running()) == 1, what="the agent to go on")
        transport.resume_reading()

        # Nothing is lost by it: what found no room comes with a beat.
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 2)
        await until(lambda: len(session.reported()) == 151, what="every report")


async def test_a_message_out_of_place_is_malformed(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.send("challenge", fixture_data("backend.challenge"))

        assert "out of place" in (await session.expect(m.ProtocolError)).message


async def test_the_handshake_must_begin_with_a_challenge(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await backend.session()
        await session.send("welcome", fixture_data("backend.welcome"))

        assert await session.closed() == 1008


class TestEndsOfASession:
    """Each close code has its own consequence."""

    @pytest.mark.parametrize("code", [1000, 1001, 1011])
    async def test_a_backend_that_restarts_is_joined_again_within_seconds(
        self, backend: BackendDouble, host: Host, code: int
    ) -> None:
        async with host.agent():
            session = await join(backend)
            await session.socket.close(code, "restart")

            async with asyncio.timeout(6):
                await (await backend.session()).welcome()

    async def test_a_crowded_backend_is_left_alone_for_a_while(self, backend: BackendDouble, host: Host) -> None:
        async with host.agent() as agent:
            session = await join(backend)
            await session.socket.close(1013, "later")

            await until(lambda: agent.node.connection == "waiting", what="the pause")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await backend.session()

    async def test_a_refused_node_does_not_try_again(self, backend: BackendDouble, host: Host) -> None:
        async with host.agent() as agent:
            session = await join(backend)
            await run(session, 1, wish())
            await session.socket.close(4003, "agent.host_key_revoked")

            await until(lambda: agent.node.connection == "refused", what="the agent to give up")
            assert host.running() == ["rental-1"]
            assert "4003" in str((await agent.node.status())["problem"])

    async def test_a_suspected_clone_tries_again_only_after_a_pause(self, backend: BackendDouble, host: Host) -> None:
        async with host.agent() as agent:
            session = await join(backend)
            await session.socket.close(4009, "agent.clone_suspected")

            await until(lambda: agent.node.connection == "waiting", what="the pause")
            assert not backend.has_arrivals()

    async def test_a_refused_upgrade_is_tried_again_but_seldom(self, backend: BackendDouble, host: Host) -> None:
        backend.refuse_with = HTTPStatus.UNAUTHORIZED
        async with host.agent() as agent:
            await until(lambda: agent.node.connection == "waiting", what="the pause")

            assert backend.attempts == 1
            assert "401" in str((await agent.node.status())["problem"])

    async def test_a_backend_that_takes_the_node_for_another_is_not_served(
        self, backend: BackendDouble, host: Host
    ) -> None:
        async with host.agent() as agent:
            session = await join(backend)
            await run(session, 1, wish())
            await session.socket.close(1001, "restored")

            await (await backend.session()).welcome(node_id="another-node")

            await until(lambda: agent.node.connection == "refused", what="the agent to give up")
            assert agent.parts.memory.node_id == NODE_ID
            assert host.running() == ["rental-1"]

    async def test_a_silent_backend_is_given_up_as_dead(
        self, backend: BackendDouble, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dcompute_agent.connection.session.MIN_SILENCE_S", 0.5)
        async with host.agent():
            session = await join(backend)
            session.acknowledges = False

            assert await session.closed() == 1001
            await backend.welcomed()


async def test_a_spec_that_was_asked_for_is_asked_for_again_in_the_next_session(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session, item = await join(backend), wish()
        await session.desire(1, item)
        await session.expect(m.GetSpec)
        await session.socket.close(1001, "restart")

        session = await join(backend)
        await give_specs(session, item)

        await until(lambda: host.running() == ["rental-1"], what="the instance")


async def test_an_answer_that_found_no_session_comes_with_the_next_heartbeat(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent() as agent:
        session = await join(backend)
        await session.socket.close(1001, "restart")
        await until(lambda: agent.node.connection != "connected", what="the end of the session")
        answer = m.Ack(cmd_id="cmd-late", rental_id="r", gen=1, result=m.CommandResult.ACCEPTED)
        agent.parts.reports.answer(answer)

        session = await join(backend)

        beat = await session.expect(m.Heartbeat, lambda beat: beat.acks)
        assert beat.acks == [answer]
