"""The socket to the backend's agent gateway (design section 5)."""
