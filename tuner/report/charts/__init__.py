"""The report's charts, one file each: its numbers and its drawing."""
