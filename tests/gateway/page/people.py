"""The people of these tests: what is pushed of them, and where their days are."""

from datetime import date

from tests.gateway.page.service import Service, many_days, minutes, snapshot, snapshots

MANY = 10_000
FIRST = date(2000, 1, 1)
ANN = "/#user=ann"
RESET_DAY = "/#user=ann&day=2025-11-29"
BOB = "/#user=bob"
# Each time with what the device said; their deltas, by DESIGN section 4, come to 4,400 steps.
CHAIN = [
    ("08:00:00", 1_000, 300.0),  # bootstrap
    ("10:00:00", 2_500, 600.5),  # increment
    ("11:00:00", 2_500, 600.5),  # duplicate
    ("12:00:00", 0, 0.0),  # glitch
    ("13:00:00", 3_000, 700.0),  # increment
    ("15:00:00", 400, 90.0),  # reset
    ("18:00:00", 1_400, 300.0),  # increment
]


def push_ann(service: Service, key: str | None = None) -> None:
    """29 days of a watch; on the last one it was reset, and a phone counted too."""
    days = [snapshot(f"2025-11-{day:02}", "21:00:00", 8_000 + day, 2_000) for day in range(1, 29)]
    chain = [snapshot("2025-11-29", *said) for said in CHAIN]
    service.push("health-snapshots", snapshots("ann", "watch", *days, *chain), key=key)
    service.push("activity-events", minutes("ann", "phone", "2025-11-29", 150), key=key)


def push_bob(service: Service) -> None:
    """10,000 days of a band."""
    service.push("health-snapshots", *many_days("bob", first=FIRST, count=MANY))
