"""What is told of a run afterwards: `report.html`, its one page, and the paper's tables beside its own."""

from tuner.report.cli import main, print_report, run_folder

__all__ = ["main", "print_report", "run_folder"]
