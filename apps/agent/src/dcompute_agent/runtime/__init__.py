"""What runs instances: the Docker engine, or a simulation of it."""
