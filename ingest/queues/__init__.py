"""Where messages come from and totals go, each kind of queue in a file of its own."""
