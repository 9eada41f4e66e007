"""The configuration of a search: options, objective, requirements, budget and the run's folder."""
