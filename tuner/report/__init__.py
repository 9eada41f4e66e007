"""What is shown of a run afterwards: `report.html`, its one page, and the paper's tables beside its own."""
