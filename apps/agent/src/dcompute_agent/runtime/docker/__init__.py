"""Instances as containers of a Docker engine."""

from .runtime import DEFAULT_DOCKER_HOST, DockerRuntime, DockerSettings

__all__ = ["DEFAULT_DOCKER_HOST", "DockerRuntime", "DockerSettings"]
