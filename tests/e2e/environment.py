"""The command, and the clean environment that tests run it in."""

import os
import sys

COMMAND = (sys.executable, "-m", "ingest")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
