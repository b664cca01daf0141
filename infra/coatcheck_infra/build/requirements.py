"""What goes into a zip besides code: requirements of our own distributions and of the project's pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_specs import OUR_DISTRIBUTIONS, ZipSpec
from coatcheck_infra.project.api_imports import CLIENT_REQUIREMENTS


def zip_requirements(spec: ZipSpec, pyproject: Mapping[str, Any]) -> list[str]:
    """Return what the zip needs of other makers, sorted: without versions beyond what those who need it ask for.

    That is what our own distributions in it require, what the zip needs besides, and what the project says: `[project]
    dependencies`, and the dependency groups of the zip. Raises BuildError where the pyproject cannot be read so.
    """
    wanted = {*spec.requirements, *(str(one) for one in _required_by_ours(spec))}
    wanted |= {str(one) for one in _required_by_project(spec, pyproject) if not _is_ours(one)}
    return sorted(wanted)


def _required_by_ours(spec: ZipSpec) -> Iterator[Requirement]:
    for package in spec.packages:
        for text in metadata.requires(package.replace("_", "-")) or ():
            one = Requirement(text)
            of_an_extra = one.marker is not None and "extra" in str(one.marker)
            if not (of_an_extra or _is_ours(one) or canonicalize_name(one.name) in CLIENT_REQUIREMENTS):
                yield one


def _required_by_project(spec: ZipSpec, pyproject: Mapping[str, Any]) -> Iterator[Requirement]:
    project = pyproject.get("project", {})
    if "dependencies" in project.get("dynamic", ()):
        raise BuildError("pyproject.toml: [project] dependencies are dynamic: write them in the file, for the build")
    yield from _parsed(project.get("dependencies", ()), "[project] dependencies")
    groups = pyproject.get("dependency-groups", {})
    for group in spec.groups:
        if group in groups:
            yield from _parsed(_resolved(groups, group), f"[dependency-groups] {group}")


def _resolved(groups: Mapping[str, Any], group: str) -> tuple[str, ...]:
    try:
        return resolve_dependency_groups(groups, group)
    except ExceptionGroup as wrong:
        first = str(wrong.exceptions[0]).partition("\n")[0]
        raise BuildError(f"pyproject.toml: [dependency-groups] {group}: {first}") from wrong
    except ValueError as wrong:
        raise BuildError(f"pyproject.toml: [dependency-groups]: {wrong}") from wrong


def _parsed(texts: Iterable[str], where: str) -> Iterator[Requirement]:
    for text in texts:
        try:
            yield Requirement(text)
        except (InvalidRequirement, TypeError) as wrong:
            first = str(wrong).partition("\n")[0]
            raise BuildError(f"pyproject.toml: {where}: {text!r} is no requirement: {first}") from wrong


def _is_ours(requirement: Requirement) -> bool:
    return canonicalize_name(requirement.name) in OUR_DISTRIBUTIONS
