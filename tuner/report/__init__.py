"""Reports on a run: `report.html`, its one page, and the paper's tables beside its own."""
