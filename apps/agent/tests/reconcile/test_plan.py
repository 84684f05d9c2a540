"""The plan leads from any state to the wanted one, and respects freeze, tombstones and confirmation on its way."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dcompute_agent.journal import LocalEnd, Record
from dcompute_agent.protocol import models as m
from dcompute_agent.reconcile.keys import authorized_keys_sha
from dcompute_agent.reconcile.plan import SHUTDOWN_GRACE_S, Actual, Gate, diff, ends_at, wanted_state
from dcompute_agent.reconcile.steps import (
    AwaitReady,
    CloseTunnels,
    Create,
    FetchSpec,
    OpenTunnel,
    PullImage,
    Refresh,
    Remove,
    Settle,
    Start,
    Step,
    Stop,
    WriteKeys,
)
from dcompute_agent.runtime.base import Container, ContainerState
from dcompute_agent.tunnel.base import TunnelName, name_of

from ..support.fixtures import wish

SPEC_SHA = wish().spec_sha
PORTS = ((22, 32768),)
MAX_STEPS = 40
STOPPING_STEPS = (Stop, Remove, CloseTunnels)
STARTING_STEPS = (Create, Start)


@dataclass
class World:
    """A model of engine, proxy server and journal: every step takes effect at once."""

    record: Record
    containers: list[Container]
    tunnels: dict[TunnelName, int] = field(default_factory=dict[TunnelName, int])
    uncertain: bool = False
    image: str | None = None
    spec: str | None = None
    made: int = 0

    def actual(self) -> Actual:
        return Actual(tuple(self.containers), dict(self.tunnels), self.uncertain, self.image, self.spec)

    def replace_container(self, container: Container, changed: Container) -> None:
        self.containers[self.containers.index(container)] = changed

    def do(self, step: Step) -> None:  # noqa: C901 -- one case per kind of step
        match step:
            case Refresh():
                self.uncertain = False
            case FetchSpec():
                self.spec = step.spec_sha
            case PullImage():
                self.image = step.spec_sha
            case Create():
                # An incomplete container of the same name is completed or replaced.
                self.containers = [c for c in self.containers if c.incarnation != step.incarnation]
                self.made += 1
                made = Container(
                    f"made-{self.made}", "rental-1", step.incarnation, step.spec_sha, ContainerState.STOPPED
                )
                self.containers.append(made)
                keys_sha = authorized_keys_sha(self.record.desired.ssh_keys)
                self.record = replace(self.record, container_id=made.container_id, keys_sha=keys_sha)
            case Start():
                assert not [c for c in self.containers if c.state is ContainerState.RUNNING], "two run side by side"
                self.replace_container(
                    step.container, replace(step.container, state=ContainerState.RUNNING, ports=PORTS)
                )
                self.record = replace(
                    self.record, phase=m.InstancePhase.STARTING, container_id=step.container.container_id
                )
            case WriteKeys():
                self.record = replace(self.record, keys_sha=step.keys_sha, container_id=step.container.container_id)
            case OpenTunnel():
                self.tunnels[name_of(step.tunnel)] = step.local_port
            case AwaitReady():
                self.record = replace(self.record, phase=m.InstancePhase.RUNNING)
            case Stop():
                self.replace_container(step.container, replace(step.container, state=ContainerState.STOPPED, ports=()))
            case Remove():
                self.containers.remove(step.container)
            case CloseTunnels():
                for name in step.names:
                    self.tunnels.pop(name, None)
            case Settle():
                self.record = replace(self.record, phase=step.phase)

    def running(self) -> list[Container]:
        return [c for c in self.containers if c.state is ContainerState.RUNNING]


def container(number: int, incarnation: int, spec_sha: str, state: ContainerState) -> Container:
    ports = PORTS if state is ContainerState.RUNNING else ()
    return Container(f"c{number}", "rental-1", incarnation, spec_sha, state, ports=ports)


CONTAINERS = st.lists(
    st.builds(
        container,
        number=st.integers(0, 1000),
        incarnation=st.integers(1, 3),
        spec_sha=st.sampled_from([SPEC_SHA, "another"]),
        state=st.sampled_from(list(ContainerState)),
    ),
    max_size=3,
    # A name, and so an incarnation, belongs to one container.
    unique_by=lambda made: made.incarnation,
)
ENDS = st.none() | st.builds(
    LocalEnd,
    gen=st.integers(1, 6),
    phase=st.sampled_from([m.InstancePhase.STOPPED, m.InstancePhase.FAILED]),
    reason=st.just(m.RentalEndReason.TTL_EXPIRED),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    desired = wish(
        gen=draw(st.integers(1, 6)),
        desired=draw(st.sampled_from(["running", "stopped", "deleted"])),
        incarnation=draw(st.integers(1, 3)),
    )
    containers = draw(CONTAINERS)
    known = [c.container_id for c in containers]
    record = Record(
        desired=desired,
        tombstone_gen=draw(st.integers(-1, 6)),
        phase=draw(st.sampled_from(list(m.InstancePhase))),
        end=draw(ENDS),
        container_id=draw(st.sampled_from([None, *known])),
        keys_sha=draw(st.sampled_from([None, authorized_keys_sha(desired.ssh_keys)])),
    )
    tunnels = {name_of(desired.tunnels[0]): 1} if draw(st.booleans()) else {}
    return World(
        record,
        containers,
        tunnels,
        uncertain=draw(st.booleans()),
        image=draw(st.sampled_from([None, SPEC_SHA])),
        spec=draw(st.sampled_from([None, SPEC_SHA])),
    )


def run_out(world: World, gate: Gate, *, confirmed: bool = True) -> list[Step]:
    """Does the first step of each plan until nothing is left to do."""
    done: list[Step] = []
    for _ in range(MAX_STEPS):
        plan = diff(world.record, world.actual(), confirmed=confirmed, gate=gate)
        if not plan:
            return done
        world.do(plan[0])
        done.append(plan[0])
    raise AssertionError(f"no end in sight: {done[-6:]}")


@settings(max_examples=500)
@given(world=worlds(), shutting_down=st.booleans())
def test_from_any_state_the_plan_ends_in_the_wanted_one(world: World, shutting_down: bool) -> None:
    gate = Gate(shutting_down=shutting_down)

    run_out(world, gate)

    match wanted_state(world.record, gate):
        case m.DesiredState.RUNNING:
            (container,) = world.containers
            assert container.state is ContainerState.RUNNING
            assert container.incarnation == world.record.incarnation
            assert world.tunnels == {name_of(world.record.desired.tunnels[0]): 32768}
            assert world.record.phase is m.InstancePhase.RUNNING
            assert world.record.keys_sha == authorized_keys_sha(world.record.desired.ssh_keys)
        case m.DesiredState.STOPPED:
            assert not world.running()
            assert len(world.containers) <= 1
            assert not world.tunnels
            assert world.record.phase in (m.InstancePhase.STOPPED, m.InstancePhase.FAILED)
        case m.DesiredState.DELETED:
            assert not world.containers
            assert not world.tunnels
            assert world.record.phase is m.InstancePhase.DELETED


@settings(max_examples=300)
@given(world=worlds(), confirmed=st.booleans())
def test_r6_while_frozen_nothing_is_stopped_or_removed(world: World, confirmed: bool) -> None:
    before, tunnels = {c.container_id for c in world.running()}, set(world.tunnels)

    done = run_out(world, Gate(frozen=True), confirmed=confirmed)

    assert not [step for step in done if isinstance(step, STOPPING_STEPS)]
    assert before <= {c.container_id for c in world.running()}
    assert tunnels <= set(world.tunnels)


@settings(max_examples=300)
@given(world=worlds())
def test_r6_a_shutdown_while_frozen_stops_everything_and_removes_nothing(world: World) -> None:
    before = {c.container_id for c in world.containers}

    done = run_out(world, Gate(frozen=True, shutting_down=True))

    assert not world.running()
    assert not world.tunnels
    assert {c.container_id for c in world.containers} == before
    assert not [step for step in done if isinstance(step, STARTING_STEPS)]


def test_a_shutdown_waits_for_no_grace_of_minutes() -> None:
    running = Container("c", "rental-1", 1, SPEC_SHA, ContainerState.RUNNING, ports=PORTS)
    record = Record(desired=wish(stop_grace_seconds=600))

    for frozen in (False, True):
        gate = Gate(frozen=frozen, shutting_down=True)
        assert diff(record, Actual((running,)), confirmed=True, gate=gate)[0] == Stop(running, SHUTDOWN_GRACE_S)


@settings(max_examples=300)
@given(world=worlds(), frozen=st.booleans())
def test_nothing_is_started_that_the_backend_has_not_named_since_the_start(world: World, frozen: bool) -> None:
    done = run_out(world, Gate(frozen=frozen), confirmed=False)

    assert not [step for step in done if isinstance(step, STARTING_STEPS)]


@settings(max_examples=300)
@given(world=worlds())
def test_r2_a_generation_at_or_below_the_tombstone_is_never_started(world: World) -> None:
    world.record = replace(world.record, tombstone_gen=max(world.record.gen, world.record.tombstone_gen))

    done = run_out(world, Gate())

    assert not [step for step in done if isinstance(step, STARTING_STEPS)]


@settings(max_examples=200)
@given(world=worlds())
def test_a_plan_is_done_once(world: World) -> None:
    run_out(world, Gate())

    assert diff(world.record, world.actual(), confirmed=True, gate=Gate()) == []


@given(world=worlds())
def test_an_uncertain_state_is_looked_at_first(world: World) -> None:
    world.uncertain = True

    assert diff(world.record, world.actual(), confirmed=True, gate=Gate()) == [Refresh()]


def test_the_container_ends_before_its_tunnel_so_that_open_connections_are_reset() -> None:
    desired = wish(gen=2, desired="stopped")
    running = Container("c", "rental-1", 1, SPEC_SHA, ContainerState.RUNNING, ports=PORTS)
    world = World(Record(desired=desired), [running], {name_of(desired.tunnels[0]): 32768})

    kinds = [type(step) for step in run_out(world, Gate())]

    assert kinds == [Stop, CloseTunnels, Settle]


def test_the_ssh_tunnel_opens_before_readiness_is_awaited_and_the_others_after() -> None:
    ssh = wish().tunnels[0]
    web = ssh.model_copy(update={"proxy_name": "web", "container_port": 80, "remote_port": 20_999})
    desired = wish(tunnels=[web.model_dump(), ssh.model_dump()])
    running = Container("c", "rental-1", 1, SPEC_SHA, ContainerState.RUNNING, ports=((22, 1), (80, 2)))
    keys_sha = authorized_keys_sha(desired.ssh_keys)
    world = World(Record(desired=desired, container_id="c", keys_sha=keys_sha), [running])

    kinds = [(type(s), s.tunnel.proxy_name if isinstance(s, OpenTunnel) else "") for s in run_out(world, Gate())]

    assert kinds == [(OpenTunnel, ssh.proxy_name), (AwaitReady, ""), (OpenTunnel, "web")]


def test_r7_a_time_limit_of_another_boot_is_not_compared() -> None:
    record = Record(desired=wish(), ttl_deadline_ms=10, boot_id="earlier boot")

    assert ends_at(record, offline_deadline_ms=None, boot_id="boot", now_ms=10_000) is None


def test_r10_the_first_of_both_limits_ends_an_instance() -> None:
    record = Record(desired=wish(gen=4), ttl_deadline_ms=100, boot_id="boot")

    def due(now_ms: int) -> m.RentalEndReason | None:
        end = ends_at(record, offline_deadline_ms=200, boot_id="boot", now_ms=now_ms)
        return end.reason if end else None

    assert due(99) is None
    assert due(100) is m.RentalEndReason.TTL_EXPIRED
    assert ends_at(
        replace(record, ttl_deadline_ms=None), offline_deadline_ms=200, boot_id="boot", now_ms=200
    ) == LocalEnd(4, m.InstancePhase.STOPPED, m.RentalEndReason.OFFLINE_GRACE_EXPIRED)
