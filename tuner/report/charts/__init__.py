"""The report's charts: one module each, with its numbers and its drawing, in a function `section(run) -> list[Element]`."""

CHARTS = {
    "champion": "Champion",
    "confirmation": "Confirmation",
    "curves": "Learning curves",
    "importance": "Importance of parameters",
    "parallel": "Parallel coordinates",
    "contour": "Score over two parameters",
    "fronts": "Pareto fronts",
    "simplex": "Mixture simplex",
    "transfer": "Transfer between tasks",
    "health": "SMART’s health",
    "timeline": "Timeline",
    "cost": "Cost",
    "trials": "All trials",
    "data": "Warnings about the data",
    "reproduce": "Reproduce",
}
"""Titles of the page's sections by module, in the page's order; a section without elements is left out."""
