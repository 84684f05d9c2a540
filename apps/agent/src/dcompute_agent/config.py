"""The agent's configuration: read once from flags and environment, checked before anything starts."""

import argparse
import ipaddress
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

DEFAULT_STATE_DIR = Path("/var/lib/dcompute-agent")
DEFAULT_NETWORK_RANGE = "10.213.0.0/16"
SUBNET_PREFIX_LENGTH = 28


class RuntimeKind(StrEnum):
    """What runs the instances."""

    DOCKER = "docker"
    SIMULATED = "simulated"


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which setting and why."""


class AgentConfig(BaseModel):
    """Everything that a host can set."""

    model_config = ConfigDict(frozen=True)

    backend_url: str
    host_key: Annotated[str, Field(min_length=1, repr=False)]
    state_dir: Path = DEFAULT_STATE_DIR
    docker_host: str | None = None
    frpc: Path | None = None
    guest: Path | None = None
    network_range: ipaddress.IPv4Network = ipaddress.IPv4Network(DEFAULT_NETWORK_RANGE)
    runtime: RuntimeKind = RuntimeKind.DOCKER
    node_name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    unknown_grace_s: Annotated[float, Field(ge=0)] = 300.0

    @field_validator("backend_url")
    @classmethod
    def _only_encrypted_or_loopback(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError("must be a ws:// or wss:// URL")
        if parts.scheme == "ws" and not _is_loopback(parts.hostname):
            raise ValueError("ws:// is allowed to loopback only; use wss://")
        return url

    @field_validator("network_range")
    @classmethod
    def _room_for_subnets(cls, network: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
        if network.prefixlen > SUBNET_PREFIX_LENGTH or not network.is_private:
            raise ValueError(f"must be a private range of at least a /{SUBNET_PREFIX_LENGTH}")
        return network

    @model_validator(mode="after")
    def _docker_needs_programs(self) -> "AgentConfig":
        if self.runtime is RuntimeKind.DOCKER:
            for name, path in (("frpc", self.frpc), ("guest", self.guest)):
                if path is None or not os.access(path, os.X_OK):
                    raise ValueError(f"{name} must name an executable file, got {path}")
        return self


#: setting -> (environment variable, what it is)
SETTINGS: Mapping[str, tuple[str, str]] = {
    "backend_url": ("DCOMPUTE_BACKEND_URL", "the backend's agent gateway, ws(s)://…/agent/v1"),
    "host_key": ("DCOMPUTE_HOST_KEY", "the host API key"),
    "state_dir": ("DCOMPUTE_STATE_DIR", f"where the node keeps its key and journal (default {DEFAULT_STATE_DIR})"),
    "docker_host": ("DOCKER_HOST", "the Docker engine, unix:///… or tcp://…"),
    "frpc": ("DCOMPUTE_FRPC", "the frpc binary"),
    "guest": ("DCOMPUTE_GUEST", "the guest binary that is PID 1 of every instance"),
    "network_range": ("DCOMPUTE_NETWORK_RANGE", f"range of the rentals' networks (default {DEFAULT_NETWORK_RANGE})"),
    "runtime": ("DCOMPUTE_RUNTIME", "docker or simulated"),
    "node_name": ("DCOMPUTE_NODE_NAME", "how the node is called in the console"),
    "unknown_grace_s": ("DCOMPUTE_UNKNOWN_GRACE_S", "seconds before an unknown container of this node is removed"),
}


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Adds one flag per setting; a flag wins over its environment variable."""
    for name, (variable, text) in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=f"{text} [{variable}]")


def state_dir_of(flags: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    """The state directory alone: all that is needed to speak to a running agent."""
    return Path(getattr(flags, "state_dir", None) or environment.get("DCOMPUTE_STATE_DIR") or DEFAULT_STATE_DIR)


def load_config(flags: argparse.Namespace, environment: Mapping[str, str]) -> AgentConfig:
    """Flags over environment over defaults. Raises ConfigError with one line per wrong setting."""
    values: dict[str, str] = {}
    for name, (variable, _) in SETTINGS.items():
        value = getattr(flags, name, None) or environment.get(variable)
        if value:
            values[name] = value
    try:
        return AgentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_problem(p["loc"], p["msg"]) for p in error.errors(include_input=False))) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else ""
    variable = SETTINGS[name][0] if name in SETTINGS else "configuration"
    return f"{variable}: {message.removeprefix('Value error, ')}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
