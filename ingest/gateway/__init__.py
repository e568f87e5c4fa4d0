"""The HTTP service: batches in by POST, totals out by GET."""
