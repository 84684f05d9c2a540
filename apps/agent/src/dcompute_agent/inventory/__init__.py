"""What the node is made of, and how it does."""
