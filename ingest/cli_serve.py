"""The command that serves HTTP."""

from typing import Annotated

import typer

from ingest.settings import PORTS, load_settings


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; others reach it by keys only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=PORTS - 1, help="0 takes any.")] = 8080,
    replayed: Annotated[
        list[str] | None,
        typer.Option("--replay", metavar="FILE", help="First replay this file of messages."),
    ] = None,
) -> None:
    """Take messages and show totals by HTTP, until it is stopped; the settings say how."""
    from ingest.gateway.serve import serve as run  # noqa: PLC0415 - FastAPI takes a second

    settings = load_settings()
    if replayed and settings.gateway_mode != "embedded":
        raise typer.BadParameter("--replay is for GATEWAY_MODE=embedded; use `ingest push`")
    run(settings, host, port, replayed or ())
