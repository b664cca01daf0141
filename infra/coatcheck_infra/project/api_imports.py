"""Finds imports that work on a developer's machine and not in the API, which lacks what only handlers need."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

SERVICE = "coatcheck-service"
CLIENT_REQUIREMENTS = frozenset({"httpx", "rich", "stamina", "typer"})
"""What `coatcheck` needs for its client and its command, which no function carries."""


class ForbiddenImportError(ImportError):
    """A module was imported that the API does not carry. The message is one line that says where."""


@dataclass(frozen=True)
class _ForbiddenFinder(MetaPathFinder):
    """Refuses top-level modules that code of the project imports itself."""

    refused: frozenset[str]
    root: Path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse, or leave it to the other finders."""
        del path, target
        if fullname.partition(".")[0] in self.refused and (where := self._importer()):
            raise ForbiddenImportError(
                f"{where} imports {fullname}, which the API does not carry: import it inside the handler, "
                "or name the handler by reference",
                name=fullname,
            )
        return None

    def _importer(self) -> str | None:
        """Return file and line of the project's code that imports right now; None if other code does."""
        frame = inspect.currentframe()
        while frame is not None and (frame.f_code.co_filename == __file__ or frame.f_code.co_filename[0] == "<"):
            frame = frame.f_back
        if frame is None:
            return None
        file = Path(frame.f_code.co_filename)
        inside = file.is_relative_to(self.root) and "site-packages" not in file.parts
        return f"{file.relative_to(self.root)}:{frame.f_lineno}" if inside else None


@contextmanager
def as_in_the_api(root: Path, pyproject: Mapping[str, Any]) -> Iterator[None]:
    """Let code of the project below `root` import only what the API carries.

    That is the standard library, what `coatcheck-service` needs, and what `[project] dependencies` name, with all that
    these need. A refused import raises ForbiddenImportError.
    """
    described = pyproject.get("project", {})
    carried = required_distributions([SERVICE, *described.get("dependencies", [])])
    carried.add(canonicalize_name(described.get("name", "")))
    refused = frozenset(
        module
        for module, distributions in metadata.packages_distributions().items()
        if carried.isdisjoint(map(canonicalize_name, distributions))
    )
    finder = _ForbiddenFinder(refused, root)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def required_distributions(requirements: Iterable[str]) -> set[str]:
    """Return the names of the installed distributions that `requirements` need, directly or not."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = list(requirements)
    while todo:
        try:
            requirement = Requirement(re.sub(r"\s+", " ", todo.pop()))
        except InvalidRequirement:
            continue
        one = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if one in found:
            continue
        found.add(one)
        client_requirements = CLIENT_REQUIREMENTS if one[0] == "coatcheck" else ()
        try:
            needed = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        todo += [
            str(other)
            for other in map(Requirement, needed)
            if other.name not in client_requirements and _applies(other, requirement.extras)
        ]
    return {name for name, _ in found}


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, ""))
