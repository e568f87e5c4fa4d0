"""The HTTP service: messages in, totals out, for those who hold an API key."""
