"""The `ingest keys` commands: make, list and revoke the API keys of the HTTP service."""

import re
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from ingest.cli_arguments import JsonOption, is_id
from ingest.errors import FileUnusable, SettingsInvalid
from ingest.gateway.keys import (
    KEY_ID_PATTERN,
    ApiKey,
    Scope,
    checked_name,
    create_key,
    keys_in,
    revoke_key,
)
from ingest.settings import load_settings
from ingest.terminal import KEYS, print_table

_KEY_ID: Final = re.compile(KEY_ID_PATTERN)
keys = typer.Typer(help="Make, list and revoke API keys (API_KEYS_FILE).", no_args_is_help=True)


def is_name(name: str) -> str:
    """The text if it may be the name of a key; a usage error otherwise."""
    try:
        return checked_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def is_key_id(text: str) -> str:
    """The text if it may be the id of a key; a usage error otherwise, which may not quote it."""
    if _KEY_ID.fullmatch(text) is None:
        raise typer.BadParameter("is not the id of a key: 12 of 0-9 a-f, as `keys list` has them")
    return text


@keys.command("create")
def create(
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", callback=is_name, help="Whose key it is.")
    ],
    scopes: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it is for: at least one of these.")
    ] = None,
    user_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", callback=is_id, help="Only for user ids that begin with this."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Make a key and print it: the only time that it is shown."""
    if not scopes:  # typer would name the choices in several lines
        raise typer.BadParameter("--scope is missing: push, read or admin")
    path = _keys_file()
    key, token = create_key(
        path, name=name, scopes=scopes, user_prefix=user_prefix, now=datetime.now(UTC)
    )
    try:
        print(_text({**asdict(key), "key": token}) if json else token, flush=True)
    except OSError:  # nobody has seen it
        with suppress(SettingsInvalid, FileUnusable):
            revoke_key(path, key.id)
        raise
    sys.stderr.write(f"ingest: made key {key.id}; it is shown only now, so keep it safe\n")


@keys.command("list")
def show_keys(json: JsonOption = False) -> None:
    """Show the keys that are valid: whose they are and what they may, nothing secret."""
    found = keys_in(_keys_file())
    if json:
        for key in found:
            print(_text(asdict(key)))
    else:
        print_table([_row_of(key) for key in found], len(found), KEYS)


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", callback=is_key_id)],
) -> None:
    """Take a key away; a service that runs refuses it within a second."""
    if not revoke_key(_keys_file(), key_id):
        sys.stderr.write(f"ingest: there is no key {key_id}\n")
        raise typer.Exit(1)
    print(f"revoked {key_id}")


def _keys_file() -> Path:
    path = load_settings().api_keys_file
    if path is None:
        raise SettingsInvalid("API_KEYS_FILE is not set: it names the file that holds the keys")
    return path


def _row_of(key: ApiKey) -> dict[str, Any]:
    created_at = f"{key.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {**asdict(key), "scopes": ", ".join(key.scopes), "created_at": created_at}


def _text(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_UTC_Z).decode()
