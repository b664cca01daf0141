"""What a zip needs of other makers: of our own distributions, and as the project says."""

from __future__ import annotations

from typing import Any

import pytest

from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.requirements import zip_requirements
from coatcheck_infra.build.zip_specs import SERVICE, WORKER

OF_THE_SERVICE = {
    *("aioboto3", "aiohttp", "fastapi", "fastapi-swagger", "httptools", "joserfc", "mangum"),
    *("opentelemetry-api", "pydantic"),
}
OF_THE_WORKER = {"boto3", "h11", "httptools", "isal", "opentelemetry-api", "pydantic"}


def names(requirements: list[str]) -> set[str]:
    return {one.partition(">")[0] for one in requirements}


def test_our_own_distributions_bring_what_functions_need_and_nothing_of_the_client() -> None:
    assert names(zip_requirements(SERVICE, {})) == OF_THE_SERVICE
    assert names(zip_requirements(WORKER, {})) == OF_THE_WORKER


def test_both_zips_get_the_dependencies_and_the_worker_the_group_handlers() -> None:
    pyproject = {
        "project": {"dependencies": ["coatcheck[local]", "Coatcheck_Service", "alpha>=1; python_version > '3'"]},
        "dependency-groups": {"handlers": ["beta", {"include-group": "more"}], "more": ["gamma"], "dev": ["delta"]},
    }
    shared = 'alpha>=1; python_version > "3"'
    assert set(zip_requirements(SERVICE, pyproject)) - set(zip_requirements(SERVICE, {})) == {shared}
    assert set(zip_requirements(WORKER, pyproject)) - set(zip_requirements(WORKER, {})) == {shared, "beta", "gamma"}


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        ({"project": {"dynamic": ["dependencies"]}}, "dependencies are dynamic"),
        ({"project": {"dependencies": ["a b"]}}, r"\[project\] dependencies: 'a b' is no requirement"),
        ({"dependency-groups": {"handlers": ["a b"]}}, r"\[dependency-groups\] handlers: "),
        ({"dependency-groups": {"handlers": [{"include-group": "gone"}]}}, "Dependency group 'gone' not found"),
        ({"dependency-groups": {"handlers": [], "Handlers": []}}, "Duplicate dependency group names"),
    ],
)
def test_what_cannot_be_read_is_named(pyproject: dict[str, Any], message: str) -> None:
    with pytest.raises(BuildError, match=rf"^pyproject\.toml: .*{message}") as refused:
        zip_requirements(WORKER, pyproject)
    assert "\n" not in str(refused.value)
