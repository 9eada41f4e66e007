"""Listeners to a search's events: MLflow, progress displays, the timeline."""
