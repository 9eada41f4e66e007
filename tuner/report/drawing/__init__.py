"""Builds HTML and SVG elements: figures, tables, axes and rows of dots."""
