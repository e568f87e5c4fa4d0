"""The worker: Faust's agent on Kafka, and what makes it lose nothing.

`batches` decides what is run and what is acknowledged and knows nothing of Faust; `app`, `agents`,
`eager` and `membership` are the only modules that do.
"""
