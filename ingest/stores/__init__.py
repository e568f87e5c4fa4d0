"""Where records and totals are kept, each kind of store in a file of its own."""
