"""Which server the command line talks to: the one that is named, or the one that runs in this folder."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coatcheck.client.exceptions import InvalidArgumentError, NoServerError

START_HINT = "start one with `coatcheck up`"

_LOOPBACK = re.compile(r"https?://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?/?")
"""No more than this, so that no two readers of URLs can take it for different hosts."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server and the key for it. `file` is the endpoint file it was found in, None when it was named."""

    url: str
    api_key: str = field(repr=False)
    file: Path | None = None


def find_server(url: str | None, api_key: str | None, environ: Mapping[str, str], here: Path) -> ServerConfig:
    """The server named by `url` and `api_key`, or that of the nearest endpoint file where no key is given.

    The file is `endpoint.json` in the folder COATCHECK_HOME, else in `.coatcheck` in `here` or the nearest parent
    that has one. Its key is never sent to another URL than its own, and a key that is given goes to no URL out of a
    file: whoever can put one into a parent folder would get it. Raises NoServerError when nothing is found,
    InvalidArgumentError when a key has no URL, a URL has no key, or the file is not to be trusted
    (`read_endpoint_file`).
    """
    if api_key and not url:
        raise InvalidArgumentError("an API key was given without a URL: give --url or set COATCHECK_URL as well")
    if url and api_key:
        return ServerConfig(url, api_key)
    file = find_endpoint_file(environ, here)
    if file is None and url:
        raise InvalidArgumentError(f"no API key for {url}: give --api-key or set COATCHECK_API_KEY")
    if file is None:
        raise NoServerError(
            f"no server here: {START_HINT}, or give --url and --api-key (COATCHECK_URL, COATCHECK_API_KEY)"
        )
    found = read_endpoint_file(file, "url", "api_key")
    if url and url.rstrip("/") != found["url"].rstrip("/"):
        raise InvalidArgumentError(f"no API key for {url}: give --api-key or set COATCHECK_API_KEY")
    return ServerConfig(found["url"], found["api_key"], file)


def is_loopback(url: str) -> bool:
    """Whether a URL plainly names this machine: localhost or a loopback address, with or without a port."""
    return bool(_LOOPBACK.fullmatch(url))


def is_listening(url: str) -> bool:
    """Whether anybody accepts connections there: immediate for a server of this machine, within 2 s for any."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def find_endpoint_file(environ: Mapping[str, str], here: Path) -> Path | None:
    """The endpoint file that `find_server` reads, None where there is none."""
    home = environ.get("COATCHECK_HOME")
    candidates = [here / home] if home else [folder / ".coatcheck" for folder in (here, *here.parents)]
    return next((file for file in (folder / "endpoint.json" for folder in candidates) if file.is_file()), None)


def read_endpoint_file(file: Path, *names: str) -> dict[str, str]:
    """The texts `names` of an endpoint file. Those that are URLs name this machine.

    Raises InvalidArgumentError for a file that anybody but this user could have written or put there, one that is not
    as `coatcheck up` writes it, and one that names another machine.
    """
    document = _parse(file, _read_owned_file(file))
    found = {name: document.get(name) for name in names}
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    if texts.keys() != found.keys():
        raise _malformed(file)
    for name, value in texts.items():
        if name.endswith("url") and not is_loopback(value):
            raise InvalidArgumentError(f"{file} names {value}, which is not this machine: {_REFUSED_HINT}")
    return texts


_REFUSED_HINT = "it is not used; give --url and --api-key, or remove it"


def _read_owned_file(file: Path) -> bytes:
    """The bytes of a regular file that is this user's and that nobody else may write."""
    try:
        # looked at and read through one descriptor, so that it cannot be exchanged in between
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123
            info = os.fstat(opened.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise InvalidArgumentError(f"{file} is not a regular file: {_REFUSED_HINT}")
            if info.st_uid != os.geteuid():
                raise InvalidArgumentError(f"{file} belongs to another user: {_REFUSED_HINT}")
            if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InvalidArgumentError(f"{file} can be written by other users: {_REFUSED_HINT} (or chmod 600 it)")
            return opened.read(_MAX_SIZE)
    except OSError as error:
        if file.is_symlink():
            raise InvalidArgumentError(f"{file} is a symbolic link: {_REFUSED_HINT}") from error
        raise InvalidArgumentError(f"{file} cannot be read ({error.strerror}): {_REFUSED_HINT}") from error


_MAX_SIZE = 64 * 1024


def _parse(file: Path, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed(file)
    return document


def _malformed(file: Path) -> InvalidArgumentError:
    return InvalidArgumentError(f"{file} is not as `coatcheck up` writes it: remove it and {START_HINT}")
