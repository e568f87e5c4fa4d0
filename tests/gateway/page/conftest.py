"""One browser for each file of tests, and pages that are checked when they are left."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.gateway.page.chromium import browsing, open_page
from tests.gateway.page.people import push_ann, push_bob
from tests.gateway.page.service import Service, serving

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """A service without keys, with days of Ann and Bob; tests may push days of others."""
    with serving(FUTURE_SKEW_MAX="3650d") as one:
        push_ann(one)
        push_bob(one)
        yield one


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens a page at an address: `visit(service.address, "/#user=ann", viewport=...)`."""
    with ExitStack() as stack:

        def visited(address: str, path: str = "/", **options: Any) -> Page:
            page = stack.enter_context(open_page(browser, address, **options))
            page.goto(path)
            return page

        yield visited
