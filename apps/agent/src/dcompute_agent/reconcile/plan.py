"""What is to be done: a pure function of what should be, what is, and what the journal knows.

Every worker executes the first step of its plan and plans again, so a plan never has to foresee faults.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..journal.records import LocalEnd, Record
from ..protocol.models import DesiredInstance, DesiredState, InstancePhase, RentalEndReason, Tunnel
from ..runtime.base import Container, ContainerState
from ..tunnel.base import SSH_PORT, TunnelName, name_of
from .keys import authorized_keys_sha
from .steps import (
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

#: Longest grace of a stop while the node is taken down: whoever switches a machine off does not wait for ten minutes.
SHUTDOWN_GRACE_S = 30
SETTLED_PHASES = frozenset({InstancePhase.STOPPED, InstancePhase.DELETED, InstancePhase.FAILED})


@dataclass(frozen=True, slots=True)
class Actual:
    """What is there of one placement."""

    containers: tuple[Container, ...] = ()
    #: Loopback port of each tunnel that is open.
    tunnels: Mapping[TunnelName, int] = field(default_factory=dict[TunnelName, int])
    #: A step was cut short: the containers above may be out of date.
    uncertain: bool = False
    #: The spec whose image is known to be on this machine.
    image_ready_for: str | None = None
    #: The spec that is at hand.
    spec_sha: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What holds for every placement of the node at this moment."""

    #: While true nothing is stopped and nothing removed (R6).
    frozen: bool = False
    #: The host takes the node down: everything stops, by the host's own decision.
    shutting_down: bool = False


def wanted_state(record: Record, gate: Gate) -> DesiredState:
    """What the placement should be once tombstone, local end and shutdown have had their say."""
    desired = record.desired.desired
    if desired is not DesiredState.RUNNING:
        return desired
    ended = record.end is not None and record.end.gen >= record.gen
    if ended or gate.shutting_down or record.gen <= record.tombstone_gen:
        return DesiredState.STOPPED
    return DesiredState.RUNNING


def diff(record: Record, actual: Actual, *, confirmed: bool, gate: Gate) -> list[Step]:
    """The steps from `actual` to what `record` wants, in order; none when they agree.

    `confirmed`: the backend has named this generation since the process started. Until then what runs goes on and
    nothing is started: a journal may be older than the market.
    """
    if actual.uncertain:
        return [Refresh()]
    if gate.shutting_down:
        limited = min(record.desired.stop_grace_seconds, SHUTDOWN_GRACE_S)
        record = replace(record, desired=record.desired.model_copy(update={"stop_grace_seconds": limited}))
        if gate.frozen:
            return _toward_halt(record, actual)
    match wanted_state(record, gate):
        case DesiredState.RUNNING:
            return _toward_running(record, actual, confirmed=confirmed, frozen=gate.frozen)
        case DesiredState.STOPPED:
            return _toward_stopped(record, actual, frozen=gate.frozen)
        case DesiredState.DELETED:
            return _toward_deleted(record, actual, frozen=gate.frozen)


def _toward_running(record: Record, actual: Actual, *, confirmed: bool, frozen: bool) -> list[Step]:
    current = _current(record, actual)
    stale = [container for container in actual.containers if container is not current]
    runs = current is not None and current.state is ContainerState.RUNNING
    if not confirmed and not runs:
        return []
    if stale and frozen:
        # Two containers of one rental never run side by side.
        return _serve(record, actual, current) if current is not None and runs else []
    removals: list[Step] = [Remove(container, record.desired.stop_grace_seconds) for container in stale]
    if current is None or current.state is ContainerState.INCOMPLETE:
        return removals + _make(record, actual)
    return removals + _serve(record, actual, current)


def _make(record: Record, actual: Actual) -> list[Step]:
    spec_sha = record.desired.spec_sha
    if actual.spec_sha != spec_sha:
        return [FetchSpec(spec_sha)]
    steps: list[Step] = []
    if actual.image_ready_for != spec_sha:
        steps.append(PullImage(spec_sha))
    steps.append(Create(spec_sha, record.incarnation))
    return steps


def _serve(record: Record, actual: Actual, container: Container) -> list[Step]:
    steps: list[Step] = []
    keys_sha = authorized_keys_sha(record.desired.ssh_keys)
    if record.keys_sha != keys_sha or record.container_id != container.container_id:
        steps.append(WriteKeys(container, keys_sha))
    if container.state is not ContainerState.RUNNING:
        steps.append(Start(container))
        return steps
    missing = [step for step in _tunnels(record.desired, container) if not _is_open(step, actual)]
    steps += [step for step in missing if step.tunnel.container_port == SSH_PORT]
    if record.phase is not InstancePhase.RUNNING:
        steps.append(AwaitReady(container))
    steps += [step for step in missing if step.tunnel.container_port != SSH_PORT]
    return steps


def _tunnels(desired: DesiredInstance, container: Container) -> list[OpenTunnel]:
    ports = ((tunnel, container.host_port(tunnel.container_port)) for tunnel in desired.tunnels)
    return [OpenTunnel(tunnel, port) for tunnel, port in ports if port is not None]


def _is_open(step: OpenTunnel, actual: Actual) -> bool:
    return actual.tunnels.get(name_of(step.tunnel)) == step.local_port


def _toward_stopped(record: Record, actual: Actual, *, frozen: bool) -> list[Step]:
    if frozen and (actual.containers or _open_names(record.desired.tunnels, actual)):
        return []
    current = _current(record, actual)
    steps: list[Step] = []
    for container in actual.containers:
        if container is not current or container.state is ContainerState.INCOMPLETE:
            steps.append(Remove(container, record.desired.stop_grace_seconds))
        elif container.state is ContainerState.RUNNING:
            steps.append(Stop(container, record.desired.stop_grace_seconds))
    return steps + _close_and_settle(record, actual, _stopped_phase(record))


def _toward_deleted(record: Record, actual: Actual, *, frozen: bool) -> list[Step]:
    if frozen and (actual.containers or _open_names(record.desired.tunnels, actual)):
        return []
    removals: list[Step] = [Remove(c, record.desired.stop_grace_seconds) for c in actual.containers]
    return removals + _close_and_settle(record, actual, InstancePhase.DELETED)


def _toward_halt(record: Record, actual: Actual) -> list[Step]:
    """The freeze is about the backend's word, a shutdown is the host's own: all of it stops, nothing is removed."""
    running = [c for c in actual.containers if c.state is ContainerState.RUNNING]
    stops: list[Step] = [Stop(container, record.desired.stop_grace_seconds) for container in running]
    phase = record.phase if record.phase in SETTLED_PHASES else _stopped_phase(record)
    return stops + _close_and_settle(record, actual, phase)


def _close_and_settle(record: Record, actual: Actual, phase: InstancePhase) -> list[Step]:
    # Containers first: their end resets the connections that a closed tunnel would leave open.
    names = _open_names(record.desired.tunnels, actual)
    steps: list[Step] = [CloseTunnels(names)] if names else []
    if record.phase is not phase:
        steps.append(Settle(phase))
    return steps


def _stopped_phase(record: Record) -> InstancePhase:
    if record.desired.desired is DesiredState.RUNNING and record.end is not None and record.end.gen >= record.gen:
        return record.end.phase
    return InstancePhase.STOPPED


def _open_names(tunnels: Sequence[Tunnel], actual: Actual) -> tuple[TunnelName, ...]:
    return tuple(name for name in map(name_of, tunnels) if name in actual.tunnels)


def _current(record: Record, actual: Actual) -> Container | None:
    """The container that serves the placement: right incarnation, right spec. All others are in its way."""
    for container in actual.containers:
        if container.incarnation == record.incarnation and container.spec_sha == record.desired.spec_sha:
            return container
    return None


def ends_at(record: Record, *, offline_deadline_ms: int | None, boot_id: str, now_ms: int) -> LocalEnd | None:
    """The local end that is due: by the rental's own time limit, or by the node's time without a backend (R10)."""
    if record.desired.desired is not DesiredState.RUNNING or (record.end is not None and record.end.gen >= record.gen):
        return None
    ttl = record.ttl_deadline_ms if record.boot_id == boot_id else None
    if ttl is not None and now_ms >= ttl:
        return LocalEnd(record.gen, InstancePhase.STOPPED, RentalEndReason.TTL_EXPIRED)
    if offline_deadline_ms is not None and now_ms >= offline_deadline_ms:
        return LocalEnd(record.gen, InstancePhase.STOPPED, RentalEndReason.OFFLINE_GRACE_EXPIRED)
    return None


def unknown_containers(containers: Collection[Container], rentals: Collection[str]) -> list[Container]:
    """Containers of rentals that a full desired list does not name (R5)."""
    return [container for container in containers if container.rental_id not in rentals]


def orphan_tunnels(opened: Collection[TunnelName], records: Collection[Record]) -> list[TunnelName]:
    """Open tunnels that no placement wants."""
    wanted = {name_of(tunnel) for record in records for tunnel in record.desired.tunnels}
    return [name for name in opened if name not in wanted]
