"""Checks before money is spent: what would stop a search, on this machine and on every node, each with its mend."""
