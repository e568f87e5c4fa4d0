"""The commands of a worker: run one, and ask the one on this machine how it is."""

import asyncio
from typing import Annotated

import typer

from ingest.probe import problem_of
from ingest.settings import load_settings


def worker() -> None:
    """Work on the input topics of Kafka until it is stopped; the settings say how."""
    from ingest.worker.run import work  # noqa: PLC0415 - Faust takes a second others need not pay

    asyncio.run(work(load_settings()))


def health(
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it can work now, not only if it lives.")
    ] = False,
) -> None:
    """Ask the worker on this machine how it is: exit 1 if it says it is not well, 3 if nothing."""
    problem = problem_of(load_settings(), "readyz" if ready else "livez")
    print("ok" if problem is None else problem)
    if problem is not None:
        raise typer.Exit(1)
