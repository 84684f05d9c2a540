"""The way from a port lease of a proxy server to a container port."""
