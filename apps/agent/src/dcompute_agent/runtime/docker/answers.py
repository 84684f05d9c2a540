"""What the engine answers, in the parts that we read. Go writes empty lists and maps as null."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal


def _empty_text_for_null(value: object) -> object:
    return "" if value is None else value


def _empty_list_for_null(value: object) -> object:
    return [] if value is None else value


def _empty_map_for_null(value: object) -> object:
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_empty_text_for_null)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_empty_list_for_null)]
TextMap = Annotated[dict[str, str], BeforeValidator(_empty_map_for_null)]
RUNNING_STATES = frozenset({"running", "paused", "restarting"})


class Answer(BaseModel):
    """Members that we do not read are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_pascal)


class PortBinding(Answer):
    """Where a published port is on the host."""

    host_ip: Text = ""
    host_port: Text = ""


class Endpoint(Answer):
    """A container's place in a network; the id is empty until the first start."""

    network_id: Annotated[Text, Field(alias="NetworkID")] = ""


class RunState(Answer):
    """State of a container's latest run."""

    status: str
    exit_code: int = 0
    oom_killed: Annotated[bool, Field(alias="OOMKilled")] = False
    #: With nine digits of a second, so it is kept as the engine writes it.
    started_at: Text = ""

    @property
    def is_running(self) -> bool:
        """Its processes are there."""
        return self.status in RUNNING_STATES

    @property
    def was_started(self) -> bool:
        """It ran at least once."""
        return not self.started_at.startswith("0001-") and self.started_at != ""


class ContainerLabels(Answer):
    """The configuration of a container."""

    labels: TextMap = Field(default_factory=dict)


class NetworkSettings(Answer):
    """A container's ports and networks."""

    ports: Annotated[dict[str, tuple[PortBinding, ...] | None], BeforeValidator(_empty_map_for_null)] = Field(
        default_factory=dict
    )
    networks: Annotated[dict[str, Endpoint], BeforeValidator(_empty_map_for_null)] = Field(default_factory=dict)


class ContainerAnswer(Answer):
    """A container as `inspect` shows it."""

    id: str
    config: ContainerLabels
    state: RunState
    network_settings: NetworkSettings = NetworkSettings()


class PublishedPort(Answer):
    """A port of a container as a list shows it."""

    private_port: int
    public_port: int | None = None
    type: str = "tcp"


class ContainerSummary(Answer):
    """A container as a list shows it."""

    id: str
    labels: TextMap = Field(default_factory=dict)
    state: str
    ports: Annotated[tuple[PublishedPort, ...], BeforeValidator(_empty_list_for_null)] = ()

    @property
    def is_running(self) -> bool:
        """Its processes are there."""
        return self.state in RUNNING_STATES


class ErrorAnswer(BaseModel):
    """Why a call failed."""

    message: str


class ImageConfig(Answer):
    """What an image says about its containers."""

    entrypoint: Texts = ()
    cmd: Texts = ()
    env: Texts = ()
    working_dir: Text = ""
    user: Text = ""


class ImageAnswer(Answer):
    """An image that is present."""

    id: str
    repo_digests: Texts = ()
    config: ImageConfig | None = None


class Pool(Answer):
    """One address range of a network."""

    subnet: Text = ""


class AddressManagement(Answer):
    """The address ranges of a network."""

    config: Annotated[tuple[Pool, ...], BeforeValidator(_empty_list_for_null)] = ()


class NetworkAnswer(Answer):
    """A network."""

    id: str
    name: str
    labels: TextMap = Field(default_factory=dict)
    ipam: Annotated[AddressManagement, Field(alias="IPAM")] = AddressManagement()
    #: By container id; only `inspect` fills it.
    containers: Annotated[dict[str, object], BeforeValidator(_empty_map_for_null)] = Field(default_factory=dict)


class Component(Answer):
    """A program that the engine consists of."""

    name: str
    version: Text = ""


class VersionAnswer(Answer):
    """The engine's version."""

    version: str
    api_version: str
    components: Annotated[tuple[Component, ...], BeforeValidator(_empty_list_for_null)] = ()


class InfoAnswer(Answer):
    """What the engine can do, and where."""

    driver: Text = ""
    driver_status: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_empty_list_for_null)] = ()
    docker_root_dir: Text = ""
    security_options: Texts = ()
    cgroup_version: Text = "1"
    live_restore_enabled: bool = False
    memory_limit: bool = False
    swap_limit: bool = False
    cpu_cfs_quota: bool = False
    pids_limit: bool = False


class PullProgressDetail(BaseModel):
    """Bytes of one layer."""

    model_config = ConfigDict(extra="ignore")
    current: int = 0
    total: int = 0


class PullMessage(BaseModel):
    """One line of a running pull."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    id: str = ""
    status: str = ""
    error: str = ""
    progress: Annotated[PullProgressDetail, Field(alias="progressDetail")] = PullProgressDetail()


class Actor(Answer):
    """Whom an event is about."""

    id: Annotated[str, Field(alias="ID")]
    attributes: TextMap = Field(default_factory=dict)


class EventMessage(Answer):
    """One line of the engine's event stream."""

    action: str
    actor: Actor
