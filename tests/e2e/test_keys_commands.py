"""`ingest keys` as a user runs it."""

import hashlib
import re

import pytest

from ingest.gateway.keys import KeyRing, Scope
from tests.e2e.conftest import Finished, Ingest
from tests.e2e.environment import ENVIRONMENT
from tests.e2e.test_bad_input import is_one_clear_line

pytestmark = pytest.mark.e2e

FILE = {"API_KEYS_FILE": "keys.json"}
ID = "0123456789ab"
CREATE = ["keys", "create", "--name", "phone", "--scope", "push"]


def keys(ingest: Ingest, *arguments: str) -> Finished:
    return ingest("keys", *arguments, **FILE)


def created(ingest: Ingest, *arguments: str) -> str:
    """A new key, and that nothing else went out with it."""
    done = keys(ingest, "create", *arguments)
    assert done.status == 0, done.err
    (token,) = done.out.splitlines()
    return token


def hash_in(token: str) -> str:
    return hashlib.sha256(token[16:].encode()).hexdigest()


def test_a_key_is_shown_once_on_standard_output_and_standard_error_says_so(ingest: Ingest):
    done = keys(ingest, "create", "--name", "phone", "--scope", "push", "--scope", "read")
    token = done.out.strip()
    assert done.status == 0
    assert re.fullmatch(r"ik_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", done.out)
    assert done.err == f"ingest: made key {token[3:15]}; it is shown only now, so keep it safe\n"
    key = KeyRing(ingest.folder / "keys.json").verify(token)
    assert key is not None
    assert (key.name, key.scopes, key.user_prefix) == ("phone", (Scope.PUSH, Scope.READ), None)


def test_json_has_the_key_beside_what_it_may(ingest: Ingest):
    done = keys(
        ingest,
        "create",
        "--name",
        "Klinik Süd",
        "--scope",
        "admin",
        "--user-prefix",
        "k:",
        "--json",
    )
    made = done.summary()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert made == {
        "id": made["key"][3:15],
        "name": "Klinik Süd",
        "scopes": ["admin"],
        "user_prefix": "k:",
        "created_at": made["created_at"],
        "key": made["key"],
    }
    listed = keys(ingest, "list", "--json").summary()
    assert listed == {name: value for name, value in made.items() if name != "key"}


def test_a_list_shows_who_has_keys_and_nothing_secret(ingest: Ingest):
    tokens = [
        created(ingest, "--name", "phone", "--scope", "read", "--scope", "push"),
        created(ingest, "--name", "clinic", "--scope", "read", "--user-prefix", "clinic:"),
    ]
    for done in (keys(ingest, "list"), keys(ingest, "list", "--json")):
        assert (done.status, done.err) == (0, "")
        for token in tokens:
            assert token[3:15] in done.out
            assert token[16:] not in done.out
            assert hash_in(token) not in done.out
    first, second = keys(ingest, "list").out.splitlines()[-3:-1]
    assert first.split()[1:4] == ["phone", "push,", "read"]
    assert second.split()[1:4] == ["clinic", "read", "clinic:"]


def test_a_revoked_key_is_gone_and_cannot_be_revoked_again(ingest: Ingest):
    token = created(ingest, "--name", "phone", "--scope", "push")
    kept = created(ingest, "--name", "tablet", "--scope", "push")
    done = keys(ingest, "revoke", token[3:15])
    assert (done.status, done.out, done.err) == (0, f"revoked {token[3:15]}\n", "")
    assert keys(ingest, "list", "--json").summary()["name"] == "tablet"
    again = keys(ingest, "revoke", token[3:15])
    assert (again.status, again.out) == (1, "")
    assert again.err == f"ingest: there is no key {token[3:15]}\n"
    ring = KeyRing(ingest.folder / "keys.json")
    assert ring.verify(token) is None
    assert ring.verify(kept) is not None


def test_the_last_key_may_be_revoked(ingest: Ingest):
    token = created(ingest, "--name", "phone", "--scope", "push")
    assert keys(ingest, "revoke", token[3:15]).status == 0
    assert keys(ingest, "list").out == "nothing found\n"
    assert keys(ingest, "list", "--json").out == ""


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_the_file_is_its_owners_whatever_the_umask(ingest: Ingest, umask: str):
    script = f"umask {umask}; ingest keys create --name phone --scope push"
    assert ingest.shell(script, **FILE).status == 0
    assert (ingest.folder / "keys.json").stat().st_mode & 0o777 == 0o600
    assert ingest.files() == {"keys.json", ".keys.json.lock"}


def test_a_broken_file_is_one_clear_line_and_is_left_alone(ingest: Ingest):
    token = created(ingest, "--name", "phone", "--scope", "push")
    path = ingest.folder / "keys.json"
    path.write_text(path.read_text().replace('"push"', '"everything"'))
    before = path.read_bytes()
    for arguments in (CREATE[1:], ["list"], ["list", "--json"], ["revoke", token[3:15]]):
        done = keys(ingest, *arguments)
        assert is_one_clear_line(done), done
        assert done.err.startswith("ingest: API_KEYS_FILE: keys.json is no file of keys: key 1: ")
        assert not {token[16:], hash_in(token), "everything"} & {*re.split(r"\W+", done.err)}
    assert path.read_bytes() == before


@pytest.mark.parametrize("arguments", [CREATE, ["keys", "list"], ["keys", "revoke", ID]], ids=str)
def test_without_the_setting_there_is_one_clear_line(ingest: Ingest, arguments: list[str]):
    done = ingest(*arguments)
    assert is_one_clear_line(done), done
    assert done.err.startswith("ingest: API_KEYS_FILE is not set")
    assert ingest.files() == set()


@pytest.mark.parametrize("arguments", [["list"], ["revoke", ID]], ids=str)
def test_a_file_that_is_missing_is_one_clear_line_where_none_is_made(
    ingest: Ingest, arguments: list[str]
):
    done = keys(ingest, *arguments)
    assert is_one_clear_line(done), done
    assert "cannot read keys.json: No such file or directory" in done.err
    assert "keys.json" not in ingest.files()


@pytest.mark.parametrize("arguments", [CREATE, ["keys", "list"], ["keys", "revoke", ID]], ids=str)
def test_a_folder_that_is_missing_is_one_clear_line(ingest: Ingest, arguments: list[str]):
    done = ingest(*arguments, API_KEYS_FILE="nowhere/keys.json")
    assert is_one_clear_line(done), done
    assert "nowhere/keys.json: No such file or directory" in done.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["create", "--scope", "push"], "--name"),
        (["create", "--name", "", "--scope", "push"], "--name"),
        (["create", "--name", "two\nlines", "--scope", "push"], "--name"),
        (["create", "--name", "n" * 65, "--scope", "push"], "--name"),
        (["create", "--name", "phone"], "--scope"),
        (["create", "--name", "phone", "--scope", "all"], "--scope"),
        (["create", "--name", "phone", "--scope", "push", "--user-prefix", ""], "--user-prefix"),
        (["create", "--name", "phone", "--scope", "push", "--user-prefix", "a|b"], "--user-prefix"),
        (["revoke"], "ID"),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_line_that_names_it(ingest: Ingest, arguments: list[str], word: str):
    done = keys(ingest, *arguments)
    assert is_one_clear_line(done), done
    assert word in done.err
    assert ingest.files() == set()


def test_a_whole_key_given_as_an_id_is_refused_and_not_repeated(ingest: Ingest):
    token = created(ingest, "--name", "phone", "--scope", "push")
    done = keys(ingest, "revoke", token)
    assert is_one_clear_line(done), done
    assert "ID" in done.err
    assert token[16:] not in done.err
    assert KeyRing(ingest.folder / "keys.json").verify(token) is not None


def test_a_key_that_could_not_be_shown_is_not_kept(ingest: Ingest):
    done = ingest.shell("ingest keys create --name phone --scope push > /dev/full", **FILE)
    assert is_one_clear_line(done), done
    assert keys(ingest, "list", "--json").out == ""


def test_two_commands_at_once_make_two_keys(ingest: Ingest):
    environment = ENVIRONMENT | FILE
    with (
        ingest.started(*CREATE, environment=environment) as first,
        ingest.started(*CREATE, environment=environment) as second,
    ):
        tokens = [
            process.communicate(timeout=20)[0].decode().strip() for process in (first, second)
        ]
        assert (first.returncode, second.returncode) == (0, 0)
    ring = KeyRing(ingest.folder / "keys.json")
    assert None not in [ring.verify(token) for token in tokens]
    assert len(keys(ingest, "list", "--json").out.splitlines()) == 2
