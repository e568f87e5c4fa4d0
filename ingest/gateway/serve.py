"""A service's life: what it refuses to start on, its socket, its server, its end."""

import asyncio
import ipaddress
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from ingest.errors import SettingsInvalid
from ingest.gateway.app import create_app
from ingest.gateway.connection import HurriedConnection
from ingest.gateway.stream import Hub
from ingest.logs import configure
from ingest.settings import Settings

BACKLOG: Final = 4096
KEEP_ALIVE_SECONDS: Final = 15
CONNECTIONS_MAX: Final = 20_000


def serve(settings: Settings, host: str, port: int, replayed: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; what was begun is finished within `SHUTDOWN_SECONDS`.

    Files of messages in `replayed` are run into the store first. Raises `SettingsInvalid` for what
    it does not start on, `FileUnusable`, and what the store or Kafka say before.
    """
    if settings.api_keys_file is None and not _is_loopback(host):
        raise SettingsInvalid(
            f"--host {host} is reached by others: set API_KEYS_FILE and run `ingest keys create`"
        )
    if settings.gateway_mode == "kafka" and settings.repository_backend != "mongodb":
        raise SettingsInvalid("GATEWAY_MODE=kafka needs REPOSITORY_BACKEND=mongodb to read from")
    app = create_app(settings, replayed)
    configuration = _configuration(app, settings)
    configure(settings.log_level)
    _open_many_files()
    with closing(_listening(host, port)) as listening:
        asyncio.run(_serve(app, configuration, listening))


async def _serve(app: FastAPI, configuration: uvicorn.Config, listening: socket.socket) -> None:
    server = _Server(configuration, app.state.hub)
    with _stopped_by_signals(server):
        async with app.router.lifespan_context(app):
            scheme = "https" if configuration.is_ssl else "http"
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stderr.write(f"ingest: serving {scheme}://{shown}:{port}\n")
            await server.serve([listening])


class _Server(uvicorn.Server):
    """uvicorn's, but for signals: its own raises them again when it has ended."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `_stopped_by_signals`."""
        yield

    def __init__(self, configuration: uvicorn.Config, hub: Hub) -> None:
        super().__init__(configuration)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live streams first, which would go on for ever."""
        self._hub.close()
        await super().shutdown(sockets)


@contextmanager
def _stopped_by_signals(server: _Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the server in order; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    signals = signal.SIGTERM, signal.SIGINT

    def stop() -> None:
        server.should_exit = True
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _configuration(app: FastAPI, settings: Settings) -> uvicorn.Config:
    configuration = uvicorn.Config(
        app,
        http=HurriedConnection,
        ws="none",
        lifespan="off",  # it is opened around the server, so that its errors are ours
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on where a request says it is from
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
    )
    try:
        configuration.load()
    except (ssl.SSLError, OSError) as error:
        raise SettingsInvalid(
            "TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key"
        ) from error
    return configuration


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsInvalid(f"--host {host} --port {port}: {error.strerror}") from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol, and without
    # it an answer waits 40 ms for the acknowledgement of its own head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _open_many_files() -> None:
    """A connection is a file: allow as many as the system lets us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
