"""What of a project a region does not have, as far as is known before CloudFormation says so."""

from __future__ import annotations

from collections.abc import Iterator

from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.project.config import ApiConfig, ProjectConfig

OTHER_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")
"""How the names of regions begin that are in another partition than `aws`."""


def check_region(config: ProjectConfig, region: str) -> None:
    """Raise DeployRefused if the region lacks what the project needs."""
    for problem in _streaming_problems(config.api, region):
        raise DeployRefused(problem)


def _streaming_problems(api: ApiConfig, region: str) -> Iterator[str]:
    if api.web_adapter is None:
        if api.streaming and region.startswith(OTHER_PARTITIONS):
            yield (
                f"streaming: AWS publishes no layer with the Lambda Web Adapter for arm64 in {region}. Publish one of "
                "your own, and name it as web-adapter in [tool.coatcheck.api] (docs/front-doors.md)"
            )
    elif (layers := api.web_adapter.split(":")[3]) != region:
        yield f"web-adapter is a layer of {layers}, and the stack is in {region}: a function takes layers of its region"
