"""Who may do what: keys, their scopes, their users, their rate."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest.gateway.keys import KeyRing, Scope, create_key
from tests.core.messages import NOW
from tests.gateway.conftest import Client, serving
from tests.gateway.test_push import EVENTS, JSON, NDJSON
from tests.lines import event, events

PUSH = (Scope.PUSH,)
READ = (Scope.READ,)
ADMIN = (Scope.ADMIN,)


class Guarded:
    """A service with keys, and the keys."""

    def __init__(self, client: Client, file: Path) -> None:
        self.client = client
        self._file = file

    def key(self, scopes: tuple[Scope, ...], prefix: str | None = None) -> dict[str, str]:
        """The header of a new key."""
        _, token = create_key(self._file, name="k", scopes=scopes, user_prefix=prefix, now=NOW)
        guard = self.client.app.state.guard
        guard._keys = KeyRing(self._file)  # it looks by itself once a second
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    file = tmp_path / "keys.json"
    create_key(file, name="first", scopes=ADMIN, user_prefix=None, now=NOW)
    async with serving(api_keys_file=file) as client:
        yield Guarded(client, file)


REQUESTS = [
    ("POST", EVENTS, "push"),
    ("POST", "/v1/health-snapshots", "push"),
    ("GET", "/v1/status", "read"),
    ("GET", "/v1/users", "read"),
    ("GET", "/v1/users/u1/days", "read"),
    ("GET", "/v1/users/u1/days/2025-11-13", "read"),
    ("GET", "/v1/users/u1/events", "read"),
    ("GET", "/v1/users/u1/export", "read"),
    ("GET", "/v1/stream?user=u1", "read"),
    ("DELETE", "/v1/users/u1", "admin"),
]


def test_every_route_with_data_is_in_the_table(tmp_path: Path):
    from ingest.gateway.app import create_app  # noqa: PLC0415 - as in conftest
    from ingest.settings import Settings  # noqa: PLC0415 - as above

    paths = create_app(Settings()).openapi()["paths"]
    guarded = {path for path in paths if path.startswith("/v1/")}
    told = {path.split("?")[0].replace("2025-11-13", "{date}") for _, path, _ in REQUESTS}
    assert {path.replace("u1", "{user_id}") for path in told} == guarded


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
async def test_without_a_key_nothing_is_told(guarded: Guarded, method, path, scope):
    for headers in ({}, {"Authorization": "Bearer ik_nobody"}, {"Authorization": "Basic YTpi"}):
        answer = await guarded.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "KEY_NEEDED")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
async def test_a_key_is_for_its_scopes_only(guarded: Guarded, method, path, scope):
    others = {"push": READ, "read": PUSH, "admin": (Scope.PUSH, Scope.READ)}[scope]
    own = guarded.key(others) | JSON
    answer = await guarded.client.request(method, path, headers=own)
    assert (answer.status_code, answer.json()["code"]) == (403, "NO_SUCH_SCOPE")
    if "stream" not in path:
        own = guarded.key(ADMIN) | JSON
        allowed = await guarded.client.request(method, path, headers=own)
        assert allowed.status_code in {200, 400, 404}


@pytest.mark.parametrize(("method", "path"), [(m, path) for m, path, _ in REQUESTS if "u1" in path])
async def test_a_key_is_for_its_users_only(guarded: Guarded, method, path):
    answer = await guarded.client.request(method, path, headers=guarded.key(ADMIN, "u2"))
    assert (answer.status_code, answer.json()["code"]) == (403, "USER_NOT_COVERED")


@pytest.mark.parametrize("headers", [JSON, NDJSON], ids=["array", "lines"])
async def test_a_key_pushes_for_its_users_only(guarded: Guarded, headers):
    own, other = events(event(1), user="u10").strip(), events(event(1), user="u2").strip()
    join = (lambda *m: b"[%b]" % b",".join(m)) if headers is JSON else lambda *m: b"\n".join(m)
    key = guarded.key(PUSH, "u1")
    post = guarded.client.post
    assert (await post(EVENTS, content=join(own), headers=headers | key)).status_code == 200
    mixed = await post(EVENTS, content=join(own, other), headers=headers | key)
    assert (mixed.status_code, mixed.json()["code"]) == (403, "USER_NOT_COVERED")
    twice = b'{"user_id": "u1", ' + other[1:]  # of two fields of one name, the last counts
    assert (await post(EVENTS, content=join(twice), headers=headers | key)).status_code == 403
    found = await guarded.client.get("/v1/users", headers=guarded.key(READ))
    assert found.json()["users"] == ["u10"]


async def test_a_key_sees_its_users_only(guarded: Guarded):
    key = guarded.key(ADMIN)
    for user in ("a1", "u1", "u2"):
        body = events(event(1), user=user)
        await guarded.client.post(EVENTS, content=body, headers=JSON | key)
    found = await guarded.client.get("/v1/users", headers=guarded.key(READ, "u"))
    assert found.json()["users"] == ["u1", "u2"]


async def test_a_key_may_call_so_often(tmp_path: Path):
    file = tmp_path / "keys.json"
    _, token = create_key(file, name="k", scopes=READ, user_prefix=None, now=NOW)
    _, other = create_key(file, name="k", scopes=READ, user_prefix=None, now=NOW)
    async with serving(api_keys_file=file, api_rate_max=0.001) as client:
        first = await client.get("/v1/users", headers={"Authorization": f"Bearer {token}"})
        again = await client.get("/v1/users", headers={"Authorization": f"Bearer {token}"})
        assert (first.status_code, again.status_code) == (200, 429)
        assert int(again.headers["retry-after"]) > 900
        free = await client.get("/v1/users", headers={"Authorization": f"Bearer {other}"})
        assert free.status_code == 200


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/openapi.json"])
async def test_what_holds_no_data_needs_no_key(guarded: Guarded, path):
    answer = await guarded.client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_other_origins_may_not_call_unless_they_are_named():
    asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    async with serving() as client:
        assert (await client.options("/v1/users", headers=asked)).status_code == 405
        plain = await client.get("/v1/users", headers={"Origin": "https://app.example.org"})
        assert "access-control-allow-origin" not in plain.headers
    async with serving(cors_origins="https://app.example.org") as client:
        allowed = await client.options("/v1/users", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.org"
        stranger = await client.options("/v1/users", headers=asked | {"Origin": "https://x.org"})
        assert "access-control-allow-origin" not in stranger.headers


async def test_logs_and_metrics_have_neither_a_user_nor_a_value(
    guarded: Guarded, capsys: pytest.CaptureFixture[str]
):
    key = guarded.key(ADMIN)
    good, bad = (event(1, 5, calories_out=number) for number in (98765.4321, -98765.4321))
    body = events(good, bad, user="somebody")
    await guarded.client.post(EVENTS, content=body, headers=JSON | key)
    await guarded.client.get("/v1/users/somebody/days", headers=key)
    await guarded.client.get("/v1/users/somebody/days?from=nonsense", headers=key)
    metrics = (await guarded.client.get("/metrics")).text
    assert 'route="/v1/users/{user_id}/days"' in metrics
    shown = "".join(capsys.readouterr()) + metrics
    for secret in ("somebody", "98765.4321", key["Authorization"].removeprefix("Bearer ik_")):
        assert secret not in shown


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
async def test_without_keys_this_machine_is_asked_by_its_own_name(client: Client, host: str):
    assert (await client.get("/v1/users", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil"])
async def test_without_keys_another_name_that_leads_here_is_not_answered(client: Client, host: str):
    answer = await client.get("/v1/users", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "FOREIGN_HOST")
