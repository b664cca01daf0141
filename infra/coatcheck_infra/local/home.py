"""The directory of one local stack: its lock, its API keys, and its files for other programs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from coatcheck.core.api_keys import make_key
from coatcheck_infra.local.up_error import UpError, user_message

TENANT = "local"
"""The tenant whose key is in `endpoint.json`."""

ENVIRONMENT_HEADER = """\
# The environment of the `coatcheck up` that runs. For another worker:
#   (set -a; . {path}; exec python -m coatcheck_worker)
"""

MIN_FREE_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class StackEndpoint:
    """How to reach a stack that is ready: the contents of `endpoint.json`."""

    url: str
    api_key: str
    aws_endpoint_url: str
    aws_access_key_id: str
    aws_secret_access_key: str
    pid: int


@dataclass(frozen=True)
class Home:
    path: Path

    @property
    def scratch(self) -> Path:
        """TMPDIR of every process; it is removed when the stack stops.

        Each start has its own: after a kill -9 the old one may be removed while the next stack starts.
        """
        return self.path / f"tmp-{os.getpid()}"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def code_cache(self) -> Path:
        """The unpacked code of the Lambda functions, for `up --whole`. It is kept between starts."""
        return self.path / "code"

    @property
    def state(self) -> Path:
        """The jobs, files and secrets of the stack. They are kept between starts."""
        return self.path / "state"

    @property
    def endpoint(self) -> Path:
        return self.path / "endpoint.json"

    @property
    def environment(self) -> Path:
        """The environment of the stack's processes, for a shell or a debugger."""
        return self.path / "env"

    @property
    def api_key_file(self) -> Path:
        """Has the API key of TENANT."""
        return self.path / "api-key"

    @property
    def api_keys_file(self) -> Path:
        """Has the API keys of all tenants, where there are others."""
        return self.path / "keys.json"

    def api_key(self) -> str:
        """Return the API key of TENANT. It is made at the first start and stays the same."""
        path = self.api_key_file
        with contextlib.suppress(FileNotFoundError):
            if key := path.read_text().strip():
                return key
        key = make_key(secrets.token_bytes)
        _write_private(path, key + "\n")
        return key

    def api_keys(self, tenants: Iterable[str]) -> dict[str, str]:
        """Return the API keys of TENANT and of `tenants`. Each is made at its first start and stays the same.

        With `tenants`, `keys.json` has them all.
        """
        keys = {TENANT: self.api_key()}
        path = self.api_keys_file
        kept: object = None
        with contextlib.suppress(FileNotFoundError, ValueError):
            kept = json.loads(path.read_text())
        for tenant in tenants:
            key = kept.get(tenant) if isinstance(kept, dict) else None
            keys.setdefault(tenant, key if isinstance(key, str) else make_key(secrets.token_bytes))
        if len(keys) > 1:
            _write_private(path, json.dumps(keys, indent=2) + "\n")
        else:
            path.unlink(missing_ok=True)
        return keys

    @contextlib.contextmanager
    def publish(self, endpoint: StackEndpoint, env: Mapping[str, str]) -> Iterator[None]:
        """Let other programs find the stack through `endpoint.json`, and join it with `env`, until the block ends."""
        exports = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))
        _write_private(self.environment, ENVIRONMENT_HEADER.format(path=shlex.quote(str(self.environment))) + exports)
        _write_private(self.endpoint, json.dumps(asdict(endpoint)) + "\n")
        try:
            yield
        finally:
            self.endpoint.unlink(missing_ok=True)
            self.environment.unlink(missing_ok=True)


@contextlib.contextmanager
def lock_home(path: Path) -> Iterator[Home]:
    """Prepare the directory `path` and lock it for this process.

    Raises `UpError` if another `up` holds the lock, if the directory cannot be written, or if the disk is full.
    The lock is the operating system's: it ends with the process, so a stale lock is not possible.
    """
    home = Home(path.resolve())
    with contextlib.ExitStack() as held:
        try:
            home.logs.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((home.path / "lock").open("a+"))
            _take_lock(lock.fileno(), home)
            _clean(home)
        except OSError as error:
            raise UpError(f"cannot use --home {path}: {user_message(error)}") from error
        yield home


def refuse_home_in_use(path: Path) -> None:
    """Raise `UpError` if another `up` holds the lock of the directory `path`. Makes nothing."""
    home = Home(path.resolve())
    with contextlib.suppress(OSError), (home.path / "lock").open() as lock:
        _flock(lock.fileno(), fcntl.LOCK_SH, home)


def _take_lock(lock: int, home: Home) -> None:
    _flock(lock, fcntl.LOCK_EX, home)
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())


def _flock(lock: int, kind: int, home: Home) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode().strip() or "unknown"
        raise UpError(
            f"another coatcheck up (pid {holder}) uses {home.path}: stop it, or choose another folder with --home"
        ) from error


def _clean(home: Home) -> None:
    free = shutil.disk_usage(home.path).free
    if free < MIN_FREE_BYTES:
        raise UpError(f"the disk of {home.path} is full: {free // 2**20} MB free, {MIN_FREE_BYTES // 2**20} MB needed")
    home.endpoint.unlink(missing_ok=True)
    home.environment.unlink(missing_ok=True)
    for left in home.path.glob("tmp-*"):
        shutil.rmtree(left, ignore_errors=True)
    home.scratch.mkdir()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read. The write is atomic."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
