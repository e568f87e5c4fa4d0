"""Measurements: each prints ratios of numbers from one run, never a bare time."""
