"""The host agent of DistributedCompute."""

from importlib.metadata import version

AGENT_VERSION = version("dcompute-agent")
PROTOCOL_VERSION = 1
