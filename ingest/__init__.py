"""Exact daily totals from activity events and health snapshots that repeat, reorder and arrive late."""
