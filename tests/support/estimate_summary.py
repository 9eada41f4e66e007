"""Counts of rows for estimates."""

from __future__ import annotations

from model.data.source import DataSummary

SUMMARY = DataSummary(
    source="demo",
    generated=True,
    rows={"sst": {"train": 100, "select": 10, "dev": 10}, "sts": {"train": 300, "select": 30, "dev": 30}},
    skipped={"sst": 0, "sts": 0},
    task_sha256={"sst": "a", "sts": "b"},
    words={"sst": 10.0, "sts": 20.0},
)
