"""Saved models: their folder, and their export for plain transformers."""
