"""What each section of a report says, as numbers: pure functions of a run."""
