"""The messages of the agent protocol, generated from packages/shared-types."""
