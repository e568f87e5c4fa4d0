"""What is decided, with no I/O, no clock and no environment: every function here is pure."""
