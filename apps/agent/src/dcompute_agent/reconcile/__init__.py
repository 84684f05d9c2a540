"""Brings what runs to what should run. Imports neither the container engine nor the socket."""
