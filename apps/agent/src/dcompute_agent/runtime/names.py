"""Names and labels of what a node makes on its engine (R4, R5)."""

import hashlib

LABEL_NODE = "dc.node"
LABEL_RENTAL = "dc.rental"
LABEL_INCARNATION = "dc.incarnation"
LABEL_SPEC = "dc.spec"


def container_name(rental_id: str, incarnation: int) -> str:
    """The name of the container of one incarnation."""
    return f"dc-{rental_id}-{incarnation}"


def network_name(rental_id: str) -> str:
    """The name of a rental's network."""
    return f"dc-{rental_id}"


def bridge_prefix(node_id: str) -> str:
    """What the names of all bridges of a node begin with: firewall rules match on it."""
    return f"dc{_digest(node_id)[:4]}"


def bridge_name(node_id: str, rental_id: str) -> str:
    """The bridge of a rental; at most 15 characters, as the kernel wants."""
    return f"{bridge_prefix(node_id)}{_digest(rental_id)[:8]}"


def chain_name(node_id: str) -> str:
    """The node's firewall chain."""
    return f"DC-{_digest(node_id)[:8]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
