"""How hard hypothesis looks: the same everywhere, with no deadline on a shared machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "core", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("core")
