"""What a container of the engine is to us."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ..base import Container, ContainerState, ports_of
from ..names import LABEL_INCARNATION, LABEL_NODE, LABEL_RENTAL, LABEL_SPEC
from .answers import ContainerAnswer, ContainerSummary, RunState

log = logging.getLogger(__name__)

#: States in which the engine is taking a container away or failed to: it can only be removed.
LOST_STATES = frozenset({"dead", "removing"})


def container_of(answer: ContainerAnswer, node_id: str, *, has_marker: bool) -> Container | None:
    """The container in our words; None for one that is not this node's, or whose labels are not of our making.

    `has_marker`: for a container that never ran, whether all that belongs into it was written.
    """
    origin = _origin_of(answer.id, answer.config.labels, node_id)
    if origin is None:
        return None
    state = _state(answer.state, has_marker=has_marker)
    ended = state is ContainerState.STOPPED and answer.state.was_started
    return Container(
        container_id=answer.id,
        rental_id=origin.rental_id,
        incarnation=origin.incarnation,
        spec_sha=origin.spec_sha,
        state=state,
        started_token=answer.state.started_at if answer.state.was_started else "",
        exit_code=answer.state.exit_code if ended else None,
        oom_killed=ended and was_oom_killed(answer.state),
        ports=_ports(answer) if state is ContainerState.RUNNING else (),
    )


def container_of_summary(summary: ContainerSummary, node_id: str, started_token: str) -> Container | None:
    """What can be said of a container that the engine lists but cannot show: enough to leave it alone or to remove it.

    `started_token`: of the run that was seen last, which a running container is taken to be still in.
    """
    origin = _origin_of(summary.id, summary.labels, node_id)
    if origin is None:
        return None
    never_ran = summary.state == "created" or summary.state in LOST_STATES
    quiet = ContainerState.INCOMPLETE if never_ran else ContainerState.STOPPED
    ports = {p.private_port: p.public_port for p in summary.ports if p.type == "tcp" and p.public_port is not None}
    return Container(
        container_id=summary.id,
        rental_id=origin.rental_id,
        incarnation=origin.incarnation,
        spec_sha=origin.spec_sha,
        state=ContainerState.RUNNING if summary.is_running else quiet,
        started_token=started_token,
        ports=ports_of(ports) if summary.is_running else (),
    )


def was_oom_killed(state: RunState) -> bool:
    """Whether lack of memory ended the run: the engine also remembers kills that the instance survived."""
    return state.oom_killed and state.exit_code != 0


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a container was made for."""

    rental_id: str
    incarnation: int
    spec_sha: str


def _origin_of(container_id: str, labels: Mapping[str, str], node_id: str) -> _Origin | None:
    if labels.get(LABEL_NODE) != node_id:
        return None
    try:
        return _Origin(labels[LABEL_RENTAL], int(labels[LABEL_INCARNATION]), labels[LABEL_SPEC])
    except (KeyError, ValueError):
        log.warning("container_labels_unknown", extra={"container": container_id})
        return None


def _state(state: RunState, *, has_marker: bool) -> ContainerState:
    if state.is_running:
        return ContainerState.RUNNING
    if state.status in LOST_STATES or not (state.was_started or has_marker):
        return ContainerState.INCOMPLETE
    return ContainerState.STOPPED


def _ports(answer: ContainerAnswer) -> tuple[tuple[int, int], ...]:
    published: dict[int, int] = {}
    for name, bindings in answer.network_settings.ports.items():
        port, _, protocol = name.partition("/")
        if protocol == "tcp" and bindings:
            published[int(port)] = int(bindings[0].host_port)
    return ports_of(published)
