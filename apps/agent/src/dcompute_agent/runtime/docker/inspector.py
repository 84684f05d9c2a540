"""Which containers of the node there are, and how they are."""

import asyncio
import logging
from collections.abc import Callable

from ..base import Container, ContainerState, FaultKind, RuntimeFault
from ..names import LABEL_NODE, LABEL_RENTAL, LABEL_SPEC
from .answers import ContainerAnswer, ContainerSummary
from .engine import Engine
from .guest_files import MARKER_PATH
from .reading import container_of, container_of_summary

log = logging.getLogger(__name__)

MAX_PARALLEL_LOOKS = 8


class Inspector:
    """Looks at the containers of one node; no other is ever described (R5)."""

    def __init__(self, engine: Engine, node_id: Callable[[], str]) -> None:
        self._engine = engine
        self._node_id = node_id
        self._looks = asyncio.Semaphore(MAX_PARALLEL_LOOKS)
        #: Of the containers that were last seen running.
        self._started_tokens: dict[str, str] = {}

    async def list_all(self, rental_id: str | None = None) -> list[Container]:
        """All of the node's containers, or those of one rental."""
        node_id = self._node_id()
        labels = {LABEL_NODE: node_id} if rental_id is None else {LABEL_NODE: node_id, LABEL_RENTAL: rental_id}
        summaries = await self._engine.list_containers(labels)
        found = await asyncio.gather(*(self._look_if_there(summary, node_id) for summary in summaries))
        return [container for container in found if container is not None]

    async def look(self, name_or_id: str) -> Container:
        """One container. Raises RuntimeFault: MISSING, CONFLICT when it is not this node's."""
        answer = await self._engine.inspect_container(name_or_id)
        return self.describe(answer, is_complete=await self._has_marker(answer))

    def describe(self, answer: ContainerAnswer, *, is_complete: bool) -> Container:
        """What the engine has just shown. Raises RuntimeFault(CONFLICT) when it is not this node's.

        `is_complete`: of a container that never ran, whether all that belongs into it was written.
        """
        container = container_of(answer, self._node_id(), has_marker=is_complete)
        if container is None:
            raise RuntimeFault(FaultKind.CONFLICT, f"container {answer.id} is not this node's")
        return container

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        self._started_tokens.pop(container_id, None)

    async def _look_if_there(self, summary: ContainerSummary, node_id: str) -> Container | None:
        try:
            async with self._looks:
                answer = await self._engine.inspect_container(summary.id)
                container = container_of(answer, node_id, has_marker=await self._has_marker(answer))
        except RuntimeFault as fault:
            # It went away since it was listed.
            if fault.kind is FaultKind.MISSING:
                return None
            if not isinstance(fault.__cause__, TimeoutError):
                raise
            # One container that hangs must not hide the others (R9).
            log.warning("container_hangs", extra={"container": summary.id})
            return container_of_summary(summary, node_id, self._started_tokens.get(summary.id, ""))
        if container is not None and container.state is ContainerState.RUNNING:
            self._started_tokens[container.container_id] = container.started_token
        else:
            self._started_tokens.pop(summary.id, None)
        return container

    async def _has_marker(self, answer: ContainerAnswer) -> bool:
        """Whether everything was written into a container that never ran."""
        if answer.state.was_started:
            return False
        marker = await self._engine.read_file(answer.id, MARKER_PATH)
        return marker is not None and marker.decode(errors="replace") == answer.config.labels.get(LABEL_SPEC)
