"""One serial, cancelable worker per placement (R3)."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from ..journal import LocalEnd
from ..protocol.models import InstancePhase
from ..runtime.base import FaultKind, RuntimeFault
from .handlers import Tools, run_step
from .placement import Placement
from .plan import Actual, Gate, diff
from .retry import POLICIES, backoff_s, failure_reason, is_retryable, uses_up_attempt
from .steps import Create, Remove, Start, Step, Stop

log = logging.getLogger(__name__)

#: Steps that the engine may finish although their call failed: afterwards the plan begins with a look.
UNSURE_WHEN_CUT = (Create, Start, Stop, Remove)


class Worker:
    """Executes the first step of its placement's plan, and plans again, until nothing is left to do."""

    def __init__(self, placement: Placement, tools: Tools, gate: Callable[[], Gate], rng: random.Random) -> None:
        self._placement = placement
        self._tools = tools
        self._gate = gate
        self._rng = rng
        self._changed = asyncio.Event()
        self._running: tuple[Step, asyncio.Task[None]] | None = None
        self._attempts: dict[type[Step], int] = {}
        self._idle = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"placement {placement.record.placement_id}")

    def wake(self) -> None:
        """Something changed: plan again when the running step has ended; a wait between two tries ends now."""
        self._idle.clear()
        self._changed.set()

    def review(self) -> None:
        """Nothing is known to have changed: an idle worker plans again all the same, a wait goes on."""
        if self._idle.is_set():
            self.wake()

    def supersede(self) -> None:
        """The record changed: a running step that the new plan does not begin with is cancelled (R3)."""
        self._attempts.clear()
        self.wake()
        if self._running is None:
            return
        step, task = self._running
        plan = self._plan()
        if not plan or plan[0] != step:
            task.cancel()

    @property
    def is_busy(self) -> bool:
        """A step is running."""
        return self._running is not None

    async def settled(self) -> None:
        """Returns when nothing is left to do."""
        await self._idle.wait()

    async def close(self) -> None:
        """Ends the worker; its instance stays as it is."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _plan(self) -> list[Step]:
        placement = self._placement
        spec = placement.spec
        actual = Actual(
            containers=tuple(placement.containers.values()),
            tunnels=self._tools.tunnels.opened(),
            uncertain=placement.uncertain,
            image_ready_for=placement.image[0] if placement.image else None,
            spec_sha=spec.spec_sha if spec else None,
        )
        return diff(placement.record, actual, confirmed=placement.confirmed, gate=self._gate())

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            plan = self._plan()
            if plan:
                await self._execute(plan[0])
            else:
                self._idle.set()
                await self._changed.wait()

    async def _execute(self, step: Step) -> None:
        try:
            await self._sync()
            if self._plan()[:1] != [step]:
                # A newer generation came while the journal was written (R3): the plan was for an older one.
                return
            await self._run_bounded(step)
        except asyncio.CancelledError:
            self._placement.uncertain |= isinstance(step, UNSURE_WHEN_CUT)
            if self._is_being_closed():
                raise
        except Exception as error:
            self._placement.uncertain |= isinstance(step, UNSURE_WHEN_CUT) or _is_missing(error)
            await self._after_failure(step, error)
        else:
            self._attempts.pop(type(step), None)

    async def _sync(self) -> None:
        """Nothing is done for a generation that a loss of power could make us forget (R1)."""
        while self._placement.unsynced:
            self._placement.unsynced = False
            try:
                await self._tools.journal.durable()
            except BaseException:
                self._placement.unsynced = True
                raise

    async def _run_bounded(self, step: Step) -> None:
        limit_s = POLICIES[type(step)].timeout_s
        if isinstance(step, Stop | Remove):
            limit_s += step.grace_s
        task = asyncio.create_task(run_step(self._tools, self._placement, step))
        self._running = step, task
        try:
            async with asyncio.timeout(limit_s):
                await task
        finally:
            self._running = None
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def _is_being_closed(self) -> bool:
        current = asyncio.current_task()
        return current is not None and current.cancelling() > 0

    async def _after_failure(self, step: Step, error: Exception) -> None:
        policy = POLICIES[type(step)]
        attempt = self._attempts.get(type(step), 0) + int(uses_up_attempt(error))
        self._attempts[type(step)] = attempt
        retryable = is_retryable(error)
        log.warning(
            "step_failed",
            extra={"placement": self._placement.record.placement_id, "step": type(step).__name__, "attempt": attempt},
            exc_info=None if retryable else error,
        )
        log.info("step_error", extra={"error": f"{type(error).__name__}: {error}"})
        if policy.attempts is not None and (not retryable or attempt >= policy.attempts):
            self._give_up(step, error)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff_s(max(attempt, 1), self._rng)):
                await self._changed.wait()

    def _give_up(self, step: Step, error: Exception) -> None:
        reason = failure_reason(step, error)
        message = str(error) or type(error).__name__
        end = LocalEnd(self._placement.record.gen, InstancePhase.FAILED, reason, message)
        self._attempts.clear()
        self._placement.end(end)


def _is_missing(error: Exception) -> bool:
    """The engine does not know the container: what we know of it is out of date."""
    return isinstance(error, RuntimeFault) and error.kind is FaultKind.MISSING
