"""Which files a confined process may read: Python, the libraries, and the modules on the import path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# what the loader and Python read of a system, where it is there
SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom"),
    # by which libraries choose how many threads they start, and how much memory they take
    *("/proc/self/cgroup", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys/vm/overcommit_memory"),
    *("/sys/fs/cgroup", "/sys/devices/system/cpu"),
)


@dataclass(frozen=True, slots=True)
class ImportPaths:
    """The import path; what can be read for it; and the folders of it whose names can be listed, as imports do."""

    path: list[str]
    readable: list[str]
    listed: list[str]


def import_paths(workdir: Path) -> ImportPaths:
    """Return what a process with this one's import path reads to import.

    A folder that holds installed packages can be read whole. Of any other, which may be a project's own, with its
    settings and keys, only modules, and folders that are not hidden. Where `workdir` lies in it, it may hold other
    attempts' folders too: then only packages. No folder in which `workdir` lies is readable.
    """
    inner = workdir.resolve()
    # resolved: an empty entry means the current folder, which is another one there
    path = [str(Path(entry).resolve()) for entry in sys.path]
    installations = {str(Path(one).resolve()) for one in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    readable = [*SYSTEM, *sorted(installations), *filter(os.path.isabs, libraries)]
    listed = []
    for entry in dict.fromkeys(path):
        if entry.endswith(("site-packages", "dist-packages")) or Path(entry).is_file():
            readable.append(entry)
        elif not any(Path(entry).is_relative_to(one) for one in installations):
            listed.append(entry)
            readable.extend(_importable(entry, packages_alone=inner.is_relative_to(entry)))
    return ImportPaths(path, [one for one in readable if not inner.is_relative_to(one)], listed)


def _importable(folder: str, *, packages_alone: bool) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir() and (not packages_alone or Path(entry.path, "__init__.py").is_file())
                if not entry.name.startswith(".") and (is_folder or entry.name.endswith((".py", ".pyc", ".so"))):
                    yield entry.path
    except OSError:
        return
