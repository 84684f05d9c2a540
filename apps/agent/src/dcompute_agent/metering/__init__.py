"""Proof of time: signed segments of each container's running time."""
