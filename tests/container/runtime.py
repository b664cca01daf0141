"""Runs an image as a container service does: its own files, processes and user, read-only but for its volumes.

The network is that of whoever starts it: `python -m tests.container.run` has one with the loopback interface alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.container.rootfs import BuiltImage, inside
from tests.processes import processes_below
from tests.waiting import eventually

START = """\
set -e
root=$1 user=$2 volumes=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
for volume in $volumes; do mount -t tmpfs -o mode=1777 tmpfs "$root$volume"; done
mount -o remount,ro,bind "$root" "$root"
exec chroot --userspec="$user" "$root" "$@"
"""
"""Run by a shell that is process 1 of the container's namespaces. It becomes the container's program."""


@dataclass(frozen=True)
class Container:
    """A running container. `pid` is its process 1, as this machine numbers it; `log` is what it wrote."""

    image: BuiltImage
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    pid: int
    log: Path

    def execute(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its own user: what `docker exec` and health checks do."""
        user, group = self.image.config.user.split(":")
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd"]
        words = [
            *enter,
            f"--setuid={user}",
            f"--setgid={group}",
            "--",
            *_program(self.image, self.environment, command),
        ]
        return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)

    def is_healthy(self) -> bool:
        """Whether its health check passes."""
        return self.execute(self.image.config.healthcheck).returncode == 0

    def stop(self, patience: float) -> int:
        """Send it the image's stop signal, and return its status. Fails if it takes more than `patience` seconds."""
        os.kill(self.pid, signal.Signals[self.image.config.stop_signal])
        return self.process.wait(patience)


@contextmanager
def container(
    image: BuiltImage,
    environment: Mapping[str, str],
    log: Path,
    *,
    command: Sequence[str] | None = None,
    entrypoint: Sequence[str] | None = None,
) -> Iterator[Container]:
    """Run an image, with another command or entry point if one is given; kill it in the end."""
    config = image.config
    program = [*(entrypoint or config.entrypoint), *(config.command if command is None else command)]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
    place = [str(image.root), config.user, " ".join(config.volumes)]
    words = [*namespaces, "sh", "-c", START, "sh", *place, *_program(image, environment, program)]
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        pid = eventually(lambda: next(processes_below(process.pid), 0), described=log.read_text)
        yield Container(image, environment, process, pid, log)
    finally:
        process.kill()
        process.wait()


def _program(image: BuiltImage, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """Return a command that starts from an empty environment, in the working directory of the image."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = {"PATH": path, **image.config.environment, **environment}
    return ["env", "-i", f"--chdir={image.config.workdir}", *(f"{k}={v}" for k, v in variables.items()), *command]


def size_of(root: Path, folder: str) -> int:
    """Return the bytes of the files below a folder of an image."""
    return sum(path.lstat().st_size for path in inside(root, folder).rglob("*") if path.is_file())
