"""The journal's record of one placement. Immutable: every change is a new record."""

from dataclasses import dataclass

from ..protocol.models import DesiredInstance, InstancePhase, PullProgress, RentalEndReason


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """The agent itself ended a placement. It holds for one generation: only a higher one starts the instance again."""

    gen: int
    #: `stopped` (time limit, offline grace, shutdown of the node) or `failed`.
    phase: InstancePhase
    reason: RentalEndReason
    message: str = ""


@dataclass(frozen=True, slots=True)
class MeterRun:
    """One uninterrupted run of a container and how far it has been written into usage segments."""

    container_id: str
    #: The engine's start time of this run: tells a continued run from a restarted one. Never computed with.
    started_token: str
    boot_id: str
    #: Boot clock up to which segments are written.
    metered_to_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one placement, durable before it is acted on (R1)."""

    desired: DesiredInstance
    #: Highest generation at which a stop was asked for; starts at or below it are refused for ever (R2).
    tombstone_gen: int = -1
    phase: InstancePhase = InstancePhase.SCHEDULED
    phase_boot_ms: int = 0
    end: LocalEnd | None = None
    container_id: str | None = None
    image_digest: str | None = None
    exit_code: int | None = None
    oom_killed: bool | None = None
    #: SHA-256 of the authorized keys that the container has.
    keys_sha: str | None = None
    #: Boot clock of `boot_id` at which the rental's time limit ends.
    ttl_deadline_ms: int | None = None
    boot_id: str | None = None
    meter: MeterRun | None = None
    #: Number of the next usage segment of this placement; never reused.
    next_segment: int = 0
    pull_progress: PullProgress | None = None

    @property
    def placement_id(self) -> str:
        """Names the placement."""
        return self.desired.placement_id

    @property
    def rental_id(self) -> str:
        """The rental that it serves."""
        return self.desired.rental_id

    @property
    def incarnation(self) -> int:
        """Which container of the placement is wanted."""
        return self.desired.incarnation

    @property
    def gen(self) -> int:
        """Highest generation seen."""
        return self.desired.gen
