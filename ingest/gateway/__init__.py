"""The HTTP service: messages in, totals out, and a page to look at (`ingest serve`)."""
