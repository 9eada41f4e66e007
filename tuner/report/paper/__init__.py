"""The paper's tables beside a run's: the published numbers, and from results.json to cells, effects, notes and output."""
