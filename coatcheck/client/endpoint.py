"""Which server the command line talks to: named outright, or the one that runs in this folder."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from coatcheck.client.errors import InvalidArgumentError, NoServerError

START = "start one with `coatcheck up`"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and the key for it. `file` is the endpoint file it was found in, None when it was named."""

    url: str
    api_key: str = field(repr=False)
    file: Path | None = None


def locate(url: str | None, api_key: str | None, environ: Mapping[str, str], here: Path) -> Endpoint:
    """The server named by `url` and `api_key`, or that of the nearest endpoint file for what is not named.

    The file is `endpoint.json` in the folder COATCHECK_HOME, else in `.coatcheck` in `here` or the nearest parent
    that has one. Its key is never sent to another URL than its own. Raises NoServerError when nothing is found,
    InvalidArgumentError when a URL has no key or the file is not as `coatcheck up` writes it.
    """
    if url and api_key:
        return Endpoint(url, api_key)
    file = endpoint_file(environ, here)
    if file is None and url:
        raise InvalidArgumentError(f"no API key for {url}: give --api-key or set COATCHECK_API_KEY")
    if file is None:
        raise NoServerError(f"no server here: {START}, or give --url and --api-key (COATCHECK_URL, COATCHECK_API_KEY)")
    found = _read(file)
    if url and url.rstrip("/") != found.url.rstrip("/"):
        raise InvalidArgumentError(f"no API key for {url}: give --api-key or set COATCHECK_API_KEY")
    return Endpoint(found.url, api_key, file) if api_key else found


def listens(url: str) -> bool:
    """Whether anybody takes connections there: at once for a server of this machine, within 2 s for any."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def endpoint_file(environ: Mapping[str, str], here: Path) -> Path | None:
    """The endpoint file that `locate` reads, None where there is none."""
    home = environ.get("COATCHECK_HOME")
    homes = [here / home] if home else [folder / ".coatcheck" for folder in (here, *here.parents)]
    return next((file for file in (folder / "endpoint.json" for folder in homes) if file.is_file()), None)


def _read(file: Path) -> Endpoint:
    try:
        found = json.loads(file.read_bytes())
        return Endpoint(str(found["url"]), str(found["api_key"]), file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgumentError(f"{file} is not as `coatcheck up` writes it: remove it and {START}") from error
