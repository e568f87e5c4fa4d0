"""Keys: what is kept of them, whose a token is, and what becomes of a file that changes."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingest.errors import FileUnusable, SettingsInvalid
from ingest.gateway.keys import ApiKey, KeyRing, Scope, create_key, keys_in, revoke_key

NOW = datetime(2025, 11, 13, 7, 30, 0, 123456, tzinfo=UTC)
WORD = "confidential"  # in broken files: no error may repeat it


class Clock:
    """Says what a test wants."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def made(
    path: Path, *scopes: Scope, name: str = "phone", user_prefix: str | None = None
) -> tuple[ApiKey, str]:
    scopes = scopes or (Scope.PUSH,)
    return create_key(path, name=name, scopes=scopes, user_prefix=user_prefix, now=NOW)


def entry(**fields: Any) -> dict[str, Any]:
    good = {
        "id": "0123456789ab",
        "name": "phone",
        "scopes": ["push"],
        "user_prefix": None,
        "created_at": "2025-11-13T07:30:00Z",
        "sha256": "0" * 64,
    }
    return good | fields


def key_with(scopes: Sequence[Scope], user_prefix: str | None = None) -> ApiKey:
    return ApiKey("0123456789ab", "phone", tuple(scopes), user_prefix, NOW)


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        ([Scope.PUSH], {Scope.PUSH}),
        ([Scope.READ], {Scope.READ}),
        ([Scope.PUSH, Scope.READ], {Scope.PUSH, Scope.READ}),
        ([Scope.ADMIN], {*Scope}),
    ],
)
def test_a_key_may_what_its_scopes_say_and_admin_everything(
    scopes: list[Scope], wanted: set[Scope]
):
    assert {scope for scope in Scope if key_with(scopes).may(scope)} == wanted


@pytest.mark.parametrize(
    ("prefix", "user", "wanted"),
    [
        (None, "ann", True),
        ("clinic:", "clinic:ann", True),
        ("clinic:", "clinic:", True),
        ("clinic:", "clinic", False),
        ("clinic:", "Clinic:ann", False),
        ("clinic:", "other:clinic:ann", False),
        ("a.", "abc", False),
    ],
)
def test_a_key_covers_users_that_begin_with_its_prefix(prefix: str | None, user: str, wanted: bool):
    assert key_with([Scope.ADMIN], prefix).covers(user) is wanted


def test_a_token_is_the_key_that_it_was_made_with(path: Path):
    first, token = made(path, Scope.READ, Scope.PUSH, user_prefix="clinic:")
    second, other = made(path)
    ring = KeyRing(path)
    assert (ring.verify(token), ring.verify(other)) == (first, second)
    assert first == ApiKey(
        first.id, "phone", (Scope.PUSH, Scope.READ), "clinic:", NOW.replace(microsecond=0)
    )


def test_tokens_look_as_the_contract_says_and_no_two_are_alike(path: Path):
    tokens = [made(path)[1] for _ in range(20)]
    assert len({token[16:] for token in tokens}) == len({token[:15] for token in tokens}) == 20
    for token in tokens:
        assert len(token) == 3 + 12 + 1 + 43
        assert (token[:3], token[15]) == ("ik_", "_")


def wrong(token: str, other: str) -> list[str]:
    return [
        "",
        "ik_",
        token[:-1],
        token + "A",
        token + "\n",
        " " + token,
        token.upper(),
        token[3:],
        token[:16] + "A" * 43,
        token[:16] + other[16:],
        "ik_0123456789ab_" + token[16:],
        token[:-1] + "é",
        token[:-1] + "\ud800",
        "x" * 1_000_000,
    ]


def test_nothing_else_is_a_key(path: Path):
    (_, token), (_, other) = made(path), made(path)
    ring = KeyRing(path)
    assert [ring.verify(text) for text in wrong(token, other)] == [None] * len(wrong(token, other))


def test_every_character_of_a_secret_counts(path: Path):
    _, token = made(path)
    ring = KeyRing(path)
    for at in range(16, len(token)):
        changed = "A" if token[at] != "A" else "B"
        assert ring.verify(token[:at] + changed + token[at + 1 :]) is None


def test_an_id_that_is_not_there_has_no_secret_at_all(path: Path):
    path.write_text("[]")
    ring = KeyRing(path)
    assert ring.verify("ik_0123456789ab_" + "A" * 43) is None
    assert ring.verify("") is None


def test_the_file_has_the_hash_of_a_secret_only_and_is_its_owners(path: Path):
    old = os.umask(0)
    try:
        key, token = made(path)
    finally:
        os.umask(old)
    secret = token[16:]
    assert secret not in path.read_text()
    (written,) = json.loads(path.read_text())
    assert written == entry(id=key.id, sha256=hashlib.sha256(secret.encode()).hexdigest())
    assert len(path.read_text().splitlines()) > len(written), "a person can read it"
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_file_that_was_open_to_others_is_closed_to_them_by_the_next_change(path: Path):
    made(path)
    path.chmod(0o644)
    made(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_to_a_file_stays_one(path: Path):
    (path.parent / "secrets").mkdir()
    path.symlink_to("secrets/there.json")
    key, _ = made(path)
    made(path)
    assert revoke_key(path, key.id)
    assert path.is_symlink()
    assert len(keys_in(path.parent / "secrets" / "there.json")) == 1


def test_keys_are_listed_the_oldest_first_without_their_hashes(path: Path):
    keys = [made(path, name=name)[0] for name in ("b", "a", "b")]
    assert keys_in(path) == keys
    assert "sha256" not in repr(keys_in(path))


def test_a_revoked_key_is_none_and_the_others_stay(path: Path):
    (first, token), (second, other) = made(path), made(path)
    assert revoke_key(path, first.id)
    assert not revoke_key(path, first.id)
    ring = KeyRing(path)
    assert (ring.verify(token), ring.verify(other)) == (None, second)


def test_a_change_is_seen_within_a_second_and_not_looked_for_sooner(path: Path):
    clock = Clock()
    first, token = made(path)
    ring = KeyRing(path, clock)
    second, other = made(path)
    revoke_key(path, first.id)
    clock.now += 0.9
    assert (ring.verify(token), ring.verify(other)) == (first, None)
    clock.now += 0.1
    with capture_logs() as logged:
        assert (ring.verify(token), ring.verify(other)) == (None, second)
    assert logged == [{"event": "ingest.keys_read", "log_level": "info", "keys": 1}]


def test_a_file_is_looked_at_once_a_second_however_long_it_goes_well(path: Path):
    clock = Clock()
    key, token = made(path)
    ring = KeyRing(path, clock)
    clock.now += 100
    assert ring.verify(token) == key
    revoke_key(path, key.id)
    clock.now += 0.5
    assert ring.verify(token) == key
    clock.now += 0.5
    assert ring.verify(token) is None


def test_a_file_that_did_not_change_is_not_read_again(path: Path):
    clock = Clock()
    key, token = made(path)
    ring = KeyRing(path, clock)
    with capture_logs() as logged:
        for _ in range(5):
            clock.now += 10
            assert ring.verify(token) == key
    assert logged == []


def test_a_change_in_place_is_seen_too(path: Path):
    clock = Clock()
    _, token = made(path)
    ring = KeyRing(path, clock)
    path.write_text("[]")
    clock.now += 1
    assert ring.verify(token) is None


def mounted(folder: Path, name: str, content: bytes) -> None:
    """Put a file where Kubernetes mounts a secret: it swaps a link to the folder of all files."""
    version = folder / f"..{name}"
    version.mkdir()
    file = version / "keys.json"
    file.write_bytes(content)
    file.chmod(0o440)
    os.utime(file, ns=(0, 0))  # the time alone must not matter
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").replace(folder / "..data")


def test_a_mounted_secret_is_read_and_a_new_one_is_seen(path: Path, tmp_path: Path):
    folder, clock = tmp_path / "mounted", Clock()
    folder.mkdir()
    (folder / "keys.json").symlink_to("..data/keys.json")
    first, token = made(path)
    mounted(folder, "2025_11_13", path.read_bytes())
    ring = KeyRing(folder / "keys.json", clock)
    assert ring.verify(token) == first
    second, other = made(path)
    assert revoke_key(path, first.id)
    mounted(folder, "2025_11_14", path.read_bytes())
    clock.now += 1
    assert (ring.verify(token), ring.verify(other)) == (None, second)


def breaks(path: Path) -> None:
    path.write_text(f'[{{"name": "{WORD}')


def goes(path: Path) -> None:
    path.unlink()


def becomes_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("happens", [breaks, goes, becomes_a_folder])
def test_a_file_that_is_no_use_any_more_is_logged_once_and_its_keys_stay(path: Path, happens: Any):
    clock = Clock()
    key, token = made(path)
    ring = KeyRing(path, clock)
    happens(path)
    with capture_logs() as logged:
        for _ in range(5):
            clock.now += 1
            assert ring.verify(token) == key
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("ingest.keys_unreadable", "error")
    assert WORD not in repr(line)


def test_a_file_that_was_mended_is_read_again_and_another_mistake_is_another_line(path: Path):
    clock = Clock()
    _, token = made(path)
    good = path.read_text()
    ring = KeyRing(path, clock)
    with capture_logs() as logged:
        for content in ("[", "{}", "[]", good, "["):
            path.write_text(content)
            clock.now += 1
            ring.verify(token)
    assert [line["event"].removeprefix("ingest.keys_") for line in logged] == [
        "unreadable",
        "unreadable",
        "read",
        "read",
        "unreadable",
    ]
    assert ring.verify(token) is not None


def test_a_file_that_comes_back_as_it_was_is_read_again(path: Path):
    clock = Clock()
    made(path)
    ring = KeyRing(path, clock)
    elsewhere = path.with_name("elsewhere.json")
    with capture_logs() as logged:
        for before, after in ((path, elsewhere), (elsewhere, path), (path, elsewhere)):
            before.rename(after)
            clock.now += 1
            ring.verify("")
    assert [line["event"].removeprefix("ingest.keys_") for line in logged] == [
        "unreadable",
        "read",
        "unreadable",
    ]


BROKEN: dict[str, object] = {
    "nothing": b"",
    "no JSON": b'[{"' + WORD.encode(),
    "no text": b'["\xff' + WORD.encode(),
    "nested deeply": b"[" * 100_000,
    "no list": {WORD: WORD},
    "no object": [WORD],
    "a field missing": [{name: value for name, value in entry().items() if name != "user_prefix"}],
    "a field too many": [entry(**{WORD: WORD})],
    "an id of another form": [entry(id=WORD)],
    "an id in capitals": [entry(id="0123456789AB")],
    "two keys of one id": [entry(), entry(name=WORD)],
    "no name": [entry(name=" ")],
    "a name of several lines": [entry(name=WORD + "\n")],
    "a name too long": [entry(name=WORD * 10)],
    "no scope": [entry(scopes=[])],
    "a scope that is none": [entry(scopes=["push", WORD])],
    "a scope that is no list": [entry(scopes="push")],
    "an empty prefix": [entry(user_prefix="")],
    "a prefix that no id has": [entry(user_prefix=WORD + "|")],
    "a time without an offset": [entry(created_at="2025-11-13T07:30:00")],
    "no time": [entry(created_at=WORD)],
    "a number as a time": [entry(created_at=1763019000)],
    "no hash": [entry(sha256=WORD)],
    "a hash too short": [entry(sha256="0" * 63)],
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_clear_line_that_quotes_nothing_and_it_stays_as_it_is(
    path: Path, case: str
):
    content = BROKEN[case]
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    before = path.read_bytes()
    for use in (KeyRing, keys_in, made, lambda file: revoke_key(file, "0123456789ab")):
        with pytest.raises(SettingsInvalid, match=r"^API_KEYS_FILE: [^\n]*keys\.json[^\n]*\Z") as e:
            use(path)
        assert WORD not in str(e.value)
        assert "0000" not in str(e.value)
        assert e.value.__cause__ is None
    assert path.read_bytes() == before


def test_a_broken_file_is_said_to_be_wrong_where_it_is(path: Path):
    path.write_text(json.dumps([entry(), entry(id="ba9876543210", scopes=["all"])]))
    with pytest.raises(SettingsInvalid, match=r"no file of keys: key 2: scopes Input should be"):
        KeyRing(path)


@pytest.mark.parametrize("use", [KeyRing, keys_in])
def test_a_file_that_is_missing_is_one_clear_line(path: Path, use: Any):
    with pytest.raises(SettingsInvalid, match=r"keys\.json: No such file or directory\Z"):
        use(path)


def test_a_pipe_is_no_file_of_keys_and_is_not_waited_for(path: Path):
    os.mkfifo(path)
    with pytest.raises(SettingsInvalid, match="it is no regular file"):
        KeyRing(path)


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path):
    with pytest.raises(FileUnusable, match=r"cannot write [^\n]*: No such file or directory\Z"):
        made(tmp_path / "nowhere" / "keys.json")


def test_what_a_killed_one_left_behind_is_in_nobodys_way(path: Path):
    (path.parent / ".keys.json.partial").write_text("[{")
    made(path)
    assert {file.name for file in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ingest.gateway.keys import Scope, create_key, revoke_key
path = Path(sys.argv[1])
print(flush=True)
sys.stdin.read()
for number in range(30):
    now = datetime.now(UTC)
    key, _ = create_key(path, name=str(number), scopes=[Scope.PUSH], user_prefix=None, now=now)
    if number % 3 == 0:
        assert revoke_key(path, key.id)
"""


def test_processes_that_make_and_revoke_keys_at_once_lose_none(path: Path):
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own script
                    [sys.executable, "-c", SCRIPT, str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(3)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(keys_in(path)) == 3 * 20
