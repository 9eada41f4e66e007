"""The paper's tables beside a run's: its numbers as data, and from results.json to cells, effects, caption and print."""
