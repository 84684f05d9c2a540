"""What a container of the engine is to us."""

import logging

from ..base import Container, ContainerState, ports_of
from ..names import LABEL_INCARNATION, LABEL_NODE, LABEL_RENTAL, LABEL_SPEC
from .answers import ContainerAnswer, RunState

log = logging.getLogger(__name__)

#: States in which the engine is taking a container away or failed to: it can only be removed.
LOST_STATES = frozenset({"dead", "removing"})


def container_of(answer: ContainerAnswer, node_id: str, *, has_marker: bool) -> Container | None:
    """The container in our words; None for one that is not this node's, or whose labels are not of our making.

    `has_marker`: for a container that never ran, whether all that belongs into it was written.
    """
    labels = answer.config.labels
    if labels.get(LABEL_NODE) != node_id:
        return None
    try:
        rental_id, incarnation, spec_sha = labels[LABEL_RENTAL], int(labels[LABEL_INCARNATION]), labels[LABEL_SPEC]
    except (KeyError, ValueError):
        log.warning("container_labels_unknown", extra={"container": answer.id})
        return None
    state = _state(answer.state, has_marker=has_marker)
    ended = state is ContainerState.STOPPED and answer.state.was_started
    return Container(
        container_id=answer.id,
        rental_id=rental_id,
        incarnation=incarnation,
        spec_sha=spec_sha,
        state=state,
        started_token=answer.state.started_at if answer.state.was_started else "",
        exit_code=answer.state.exit_code if ended else None,
        oom_killed=ended and was_oom_killed(answer.state),
        ports=_ports(answer) if state is ContainerState.RUNNING else (),
    )


def was_oom_killed(state: RunState) -> bool:
    """Whether lack of memory ended the run: the engine also remembers kills that the instance survived."""
    return state.oom_killed and state.exit_code != 0


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
