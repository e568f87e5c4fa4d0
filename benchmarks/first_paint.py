"""How long the page takes to show something, and the days, of five people and a month.

Run it with `python -m benchmarks.first_paint`. The service replays the real data of
`examples/fitbit`; a Chromium that is there opens the page anew each time, with an empty cache.
First paint is the browser's own first contentful paint; the days are there when their bars are.
"""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from benchmarks.machine import machine
from tests.gateway.page.chromium import browsing

FILES: Final = sorted(Path("examples/fitbit").glob("*.ndjson.gz"))
USER: Final = "1503960366"
TIMES: Final = 10
PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def opened(browser: Browser, address: str) -> tuple[float, float]:
    """Milliseconds to the first paint, and to the bars of a user's days."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/#user={USER}")
    page.wait_for_selector("#days-chart svg path:not(.zero)", state="attached")
    days = page.evaluate("() => performance.now()")
    page.wait_for_function(PAINT)
    paint = page.evaluate(PAINT)
    context.close()
    return paint, days


def main() -> None:
    """Measure, and print."""
    command = [sys.executable, "-m", "ingest", "serve", "--port", "0"]
    command += [option for file in FILES for option in ("--replay", str(file))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:  # noqa: S603 - ours
        try:
            assert service.stderr is not None  # noqa: S101 - it is a pipe
            address = service.stderr.readline().split()[-1]
            with browsing() as browser:
                opened(browser, address)  # the first one starts the browser's own processes
                paints, days = zip(*(opened(browser, address) for _ in range(TIMES)), strict=True)
        finally:
            service.terminate()
    for name, found in (("first paint", paints), ("days drawn", days)):
        spread = f"{min(found):.0f}-{max(found):.0f}"
        print(f"{name}: {statistics.median(found):.0f} ms ({spread}, {TIMES} times)")
    print(machine())


if __name__ == "__main__":
    main()
