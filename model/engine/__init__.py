"""The DeepSpeed engine: its configuration, schedules, collectives and out-of-memory handling."""
