"""Single facts that the node keeps over restarts, in the journal."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from .clock import Clock
from .journal import Journal
from .protocol.models import Welcome

NODE_ID = "node_id"
SETTINGS = "settings"
LAST_CONTACT = "last_contact"
FROZEN = "frozen"
DISK_GIB = "disk_gib"
DISOWNED = "disowned"


PLACEMENT_IDS = TypeAdapter(frozenset[str])


class Settings(BaseModel):
    """What the backend told in its last welcome; the defaults hold until the first."""

    model_config = ConfigDict(frozen=True)

    heartbeat_interval_ms: int = 5_000
    usage_segment_ms: int = 60_000
    offline_grace_ms: int = 6 * 3_600_000

    @classmethod
    def of(cls, welcome: Welcome) -> "Settings":
        """The part of a welcome that also holds while the backend is away."""
        return cls(
            heartbeat_interval_ms=welcome.heartbeat_interval_ms,
            usage_segment_ms=welcome.usage_segment_ms,
            offline_grace_ms=welcome.offline_grace_ms,
        )


class Contact(BaseModel):
    """When the backend was last heard, on the boot clock."""

    boot_id: str
    boot_ms: int


class NodeMemory:
    """Typed access to those facts."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._started_ms = clock.boot_ms()
        self.settings = self._read_settings()
        #: The node takes no new rentals: as the backend said in the present session.
        self.draining = False
        self._contact_ms = self._read_contact_ms()

    @property
    def node_id(self) -> str | None:
        """This node's id; None before it is enrolled."""
        return self._journal.meta(NODE_ID)

    def enrol(self, node_id: str) -> None:
        """Notes the id that the backend gave."""
        self._journal.put_meta(NODE_ID, node_id)

    def take_settings(self, settings: Settings) -> None:
        """Notes what the backend told."""
        self.settings = settings
        self._journal.put_meta(SETTINGS, settings.model_dump_json())

    @property
    def frozen(self) -> bool:
        """Nothing is to be stopped or removed (R6); must hold over a restart, before the backend is heard again."""
        return self._journal.meta(FROZEN) == "1"

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._journal.put_meta(FROZEN, "1" if frozen else "0")

    @property
    def disowned(self) -> frozenset[str]:
        """Placements that the backend does not know, although it lets us remove: all is said of them."""
        text = self._journal.meta(DISOWNED)
        return frozenset() if text is None else PLACEMENT_IDS.validate_json(text)

    def disown(self, placement_ids: Iterable[str]) -> None:
        """Notes them, in the place of those before."""
        disowned = frozenset(placement_ids)
        if disowned != self.disowned:
            self._journal.put_meta(DISOWNED, PLACEMENT_IDS.dump_json(disowned).decode())

    @property
    def disk_gib(self) -> int | None:
        """Room for containers, as measured while there was none."""
        text = self._journal.meta(DISK_GIB)
        return None if text is None else int(text)

    @disk_gib.setter
    def disk_gib(self, disk_gib: int) -> None:
        self._journal.put_meta(DISK_GIB, str(disk_gib))

    def note_contact(self) -> None:
        """The backend was heard just now."""
        self._contact_ms = self._clock.boot_ms()
        contact = Contact(boot_id=self._clock.boot_id, boot_ms=self._contact_ms)
        self._journal.put_meta(LAST_CONTACT, contact.model_dump_json())

    @property
    def offline_deadline_ms(self) -> int:
        """Until when instances may run without the backend (R10): counted from the last contact of this boot."""
        return self._contact_ms + self.settings.offline_grace_ms

    def _read_settings(self) -> Settings:
        text = self._journal.meta(SETTINGS)
        try:
            return Settings() if text is None else Settings.model_validate_json(text)
        except ValidationError:
            return Settings()

    def _read_contact_ms(self) -> int:
        text = self._journal.meta(LAST_CONTACT)
        try:
            contact = None if text is None else Contact.model_validate_json(text)
        except ValidationError:
            contact = None
        # Nothing of an earlier boot still runs, so after a reboot there is no time to be counted.
        return self._started_ms if contact is None or contact.boot_id != self._clock.boot_id else contact.boot_ms
