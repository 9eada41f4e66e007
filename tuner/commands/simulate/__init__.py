"""Searches under a simulated clock: the real study against learning curves that were recorded or generated."""
