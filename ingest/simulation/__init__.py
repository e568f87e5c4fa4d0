"""Simulated devices: the messages they send, in all the wrong ways, and the right totals.

`messages` is what arrives; `truth` is worked out from what each device did, never from messages.
"""

from ingest.simulation.delivery import messages
from ingest.simulation.oracle import truth
from ingest.simulation.plan import Plan

__all__ = ["Plan", "messages", "truth"]
