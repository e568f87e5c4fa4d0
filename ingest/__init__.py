"""Exact daily totals from activity events and health snapshots, whatever order they come in."""
