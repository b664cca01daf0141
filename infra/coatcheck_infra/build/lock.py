"""The project's lock: which versions go into a zip, and the hashes of their files.

It is the project's `uv.lock`, else its `requirements.lock`, which the build makes where there is neither.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from coatcheck_infra.build.programs import BuildError, CommandError, uv
from coatcheck_infra.build.zip_specs import OUR_DISTRIBUTIONS, Target
from coatcheck_infra.project.config import DEFAULT_PYTHON

UV_LOCK = "uv.lock"
OWN_LOCK = "requirements.lock"
HEADER = """\
# What service.zip and worker.zip are made of, besides code. To update after a change of pyproject.toml:
# coatcheck build --lock
"""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions that Coatcheck runs on, up to the newest that functions may have."""

REMEDIES = {UV_LOCK: "run: uv lock", OWN_LOCK: "run: coatcheck build --lock"}

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=\S+")
_NO_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?P<version>[=<>!~]=?=?[^\s,]+)? has no (usable )?wheels")


@dataclass(frozen=True)
class Lock:
    """A lock: the name of its file, and hash-pinned requirements in the format of requirements files."""

    name: str
    text: str


def read_lock(root: Path) -> Lock | None:
    """Read the lock of the project in `root`; None if it has none. Raises BuildError if uv.lock is out of date."""
    if (root / UV_LOCK).exists():
        return Lock(UV_LOCK, _exported(root))
    path = root / OWN_LOCK
    return Lock(OWN_LOCK, path.read_text()) if path.exists() else None


def make_lock(
    root: Path,
    requirements: Iterable[str],
    requires_python: str = "",
    constraints: Sequence[Path] = (),
    *,
    python: str = DEFAULT_PYTHON,
) -> Lock:
    """Resolve `requirements` for all platforms to `requirements.lock` in `root`, with hashes.

    Versions of an existing lock are kept where they fit; `constraints` are files with more constraints. The project's
    functions run `python`. Raises BuildError, also if `requires_python` excludes that.
    """
    path = root / OWN_LOCK
    with tempfile.TemporaryDirectory(prefix="coatcheck-lock-") as folder:
        made, wanted = Path(folder, OWN_LOCK), Path(folder, "requirements.in")
        wanted.write_text("".join(f"{one}\n" for one in requirements))
        if path.exists():
            shutil.copyfile(path, made)
        try:
            uv(
                *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"),
                *("--python", sys.executable, "--python-version", _oldest_python(requires_python, python)),
                *(word for file in constraints for word in ("--constraint", str(file.resolve()))),
                *("--output-file", str(made), str(wanted)),
                cwd=root,
            )
        except CommandError as failed:
            raise BuildError(f"{OWN_LOCK} cannot be made: {failed.reason}") from failed
        text = HEADER + made.read_text()
    fresh = path.with_name(f"{OWN_LOCK}.new")
    fresh.write_text(text)
    fresh.replace(path)
    return Lock(OWN_LOCK, text)


def select(lock: Lock, requirements: Iterable[str], target: Target, root: Path) -> str:
    """Return what of the lock a zip for `target` with these requirements installs: hash-pinned, and nothing besides.

    Raises BuildError, in one line with the remedy, if the lock does not fit the requirements, or a package has no wheel
    for the target.
    """
    platform = ("--python-platform", target.platform) if target.platform else ()
    with tempfile.TemporaryDirectory(prefix="coatcheck-lock-") as folder:
        wanted, constraints = Path(folder, "requirements.in"), Path(folder, "constraints.txt")
        wanted.write_text("".join(f"{one}\n" for one in requirements))
        constraints.write_text(lock.text)
        try:
            chosen = uv(
                *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"),
                *("--python", sys.executable, "--python-version", target.python, *platform),
                *("--constraint", str(constraints), str(wanted)),
                cwd=root,
            )
        except CommandError as failed:
            raise BuildError(_misfit(failed, lock, target)) from failed
    return _with_hashes(chosen, lock)


def _exported(root: Path) -> str:
    ours = [word for name in sorted(OUR_DISTRIBUTIONS) for word in ("--no-emit-package", name)]
    try:
        return uv(
            *("export", "--quiet", "--locked", "--all-groups", "--no-emit-project", *ours),
            *("--no-header", "--no-annotate", "--python", sys.executable),
            cwd=root,
        )
    except CommandError as failed:
        if "needs to be updated" in failed.said:
            raise BuildError(f"{UV_LOCK} does not fit pyproject.toml: {REMEDIES[UV_LOCK]}") from failed
        raise BuildError(f"{UV_LOCK} cannot be read: {failed.reason}") from failed


def _with_hashes(chosen: str, lock: Lock) -> str:
    hashes = _hashes(lock.text)
    selected, missing = [], []
    for line in chosen.splitlines():
        pin = _PIN.match(line)
        if pin is None:
            raise BuildError(f"{line} is not from a package index: the build installs only wheels with a hash")
        key = (canonicalize_name(pin["name"]), pin["version"])
        selected.append(" \\\n    ".join([f"{pin['name']}=={pin['version']}", *hashes.get(key, ())]))
        if not hashes.get(key):
            missing.append(pin["name"])
    if missing:
        raise BuildError(f"{lock.name} has no hash of {', '.join(missing)}: {_remedy_of(lock)}")
    return "".join(f"{one}\n" for one in selected)


def _remedy_of(lock: Lock) -> str:
    if lock.name == UV_LOCK:
        return f'add "coatcheck[local]" to a dependency group if none has it, and {REMEDIES[UV_LOCK]}'
    return REMEDIES[lock.name]


def _hashes(text: str) -> Mapping[tuple[str, str], list[str]]:
    """Return the hashes in a requirements file by name and version."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if pin := _PIN.match(line):
            found.setdefault((canonicalize_name(pin["name"]), pin["version"]), []).extend(_HASH.findall(line))
    return found


def _misfit(failed: CommandError, lock: Lock, target: Target) -> str:
    if without := _NO_WHEEL.search(failed.reason):
        package = f"{without['name']} {(without['version'] or '').lstrip('=')}".strip()
        return f"{package} has no wheel for {target}: choose another version, or another package"
    return f"{lock.name} does not fit pyproject.toml ({failed.reason}): {REMEDIES[lock.name]}"


def _oldest_python(requires_python: str, python: str) -> str:
    try:
        allowed = SpecifierSet(requires_python)
    except InvalidSpecifier as wrong:
        raise BuildError(f"pyproject.toml: [project] requires-python: {wrong}") from wrong
    if not allowed.contains(f"{python}.0"):
        raise BuildError(
            f"pyproject.toml: [project] requires-python {requires_python} excludes {python}, which the functions run "
            "(tool.coatcheck.python)"
        )
    return next(one for one in PYTHONS if allowed.contains(f"{one}.99"))
