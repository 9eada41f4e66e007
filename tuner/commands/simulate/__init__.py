"""Simulated searches: the real study on recorded or generated learning curves, under a simulated clock."""
