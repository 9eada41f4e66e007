"""Ray: connecting to it, and what a trial asks of a node."""
