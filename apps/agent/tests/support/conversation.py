"""What a backend and an agent say to each other again and again."""

from typing import Any

from dcompute_agent.protocol import models as m

from .backend import AgentSession, BackendDouble
from .fixtures import spec_for

PROXY = {
    "id": "proxy-1",
    "host": "127.0.0.1",
    "bind_port": 7000,
    "server_name": "frps",
    "ca_pem": "",
    "auth_token": "shared",
    "node_token": "own",
}


async def join(backend: BackendDouble, **changes: Any) -> AgentSession:
    return await backend.welcomed(proxy_servers=[PROXY], **changes)


async def give_specs(session: AgentSession, *items: m.DesiredInstance) -> None:
    """Answers `get_spec`, as the backend does."""
    for item in items:
        await session.expect(m.GetSpec, lambda request, wanted=item: request.placement_id == wanted.placement_id)
        spec = spec_for(item.rental_id)
        await session.send(
            "spec",
            {
                "placement_id": item.placement_id,
                "spec_sha": spec.spec_sha,
                "spec": spec.model_dump(mode="json", exclude_none=True),
            },
        )


async def run(session: AgentSession, rev: int, *items: m.DesiredInstance) -> None:
    """Has these placements running."""
    await session.desire(rev, *items)
    await give_specs(session, *items)
    for item in items:
        await session.phase(item, "running")


def start_of(item: m.DesiredInstance, cmd_id: str = "cmd-start") -> dict[str, Any]:
    spec = spec_for(item.rental_id)
    return {
        "rental_id": item.rental_id,
        "image": spec.image,
        "resource_limits": spec.resource_limits.model_dump(mode="json", exclude_none=True),
        "env_vars": spec.env_vars,
        "proxy_port_mapping": {},
        "cmd_id": cmd_id,
        "rev": 1,
        "instance": item.model_dump(mode="json", exclude_none=True),
        "spec": spec.model_dump(mode="json", exclude_none=True),
    }


def stop_of(item: m.DesiredInstance, gen: int, cmd_id: str = "cmd-stop", **changes: Any) -> dict[str, Any]:
    return {
        "rental_id": item.rental_id,
        "placement_id": item.placement_id,
        "incarnation": item.incarnation,
        "gen": gen,
        "cmd_id": cmd_id,
        "desired": "stopped",
        "reason": "renter_stopped",
        "grace_seconds": 1,
    } | changes


async def ack(session: AgentSession, cmd_id: str) -> str:
    return (await session.expect(m.Ack, lambda answer: answer.cmd_id == cmd_id)).result.value


async def beats(session: AgentSession, count: int) -> list[m.Heartbeat]:
    """The next heartbeats: the agent has had that much time."""
    known = len(session.all(m.Heartbeat))
    await session.expect(m.Heartbeat, lambda _: len(session.all(m.Heartbeat)) >= known + count)
    return session.all(m.Heartbeat)[known:]
