"""Options that many commands have, and the server that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coatcheck.client.exceptions import NoServerError
from coatcheck.client.server_config import START_HINT, find_server, is_listening

if TYPE_CHECKING:
    from coatcheck.client.sync_client import Client

RETRY_TIMEOUT = 5.0

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", envvar="COATCHECK_URL", help="The server. Default: the one that runs in this folder."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY", envvar="COATCHECK_API_KEY", help="The key, or a token. Default: the key of the server here."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the server's JSON, and nothing else, on standard output.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to. Default: standard output.")
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@contextmanager
def connect(url: str | None, api_key: str | None, retry_timeout: float = RETRY_TIMEOUT) -> Iterator[Client]:
    """A client of the server that is named, or of the one that runs here. Raises NoServerError."""
    import stamina.instrumentation  # noqa: PLC0415 - this and httpx are slow to import

    from coatcheck.client.sync_client import Client  # noqa: PLC0415

    # it would write a log line to the terminal for each pause
    stamina.instrumentation.set_on_retry_hooks(())
    server = find_server(url, api_key, os.environ, Path.cwd())
    if server.file and not is_listening(server.url):
        raise NoServerError(f"no answer from {server.url}, which {server.file} names: {START_HINT}")
    with Client(server.url, server.api_key, retry_timeout=retry_timeout) as client:
        yield client
