"""What of a project a region does not have, as far as is known before CloudFormation says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.project.config import ApiConfig, ProjectConfig
from coatcheck_infra.project.lane_config import Lane

OTHER_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")
"""How the names of regions begin that are in another partition than `aws`."""

WITHOUT_MANAGED_INSTANCES = frozenset(
    {
        *("ap-southeast-6", "me-central-1", "us-gov-east-1", "us-gov-west-1"),
        *("cn-north-1", "cn-northwest-1"),
    }
)
"""The regions without AWS::Lambda::CapacityProvider that cfn-lint 1.58.0 knows."""


def check_region(config: ProjectConfig, region: str) -> None:
    """Raise DeployRefused if the region lacks what the project needs."""
    for problem in (*_streaming_problems(config.api, region), *_lane_problems(config.lanes, region)):
        raise DeployRefused(problem)


def _lane_problems(lanes: Mapping[str, Lane], region: str) -> Iterator[str]:
    managed = [name for name, lane in lanes.items() if lane.kind == "lambda-managed"]
    if managed and region in WITHOUT_MANAGED_INSTANCES:
        yield (
            f"lanes.{managed[0]}: there are no Lambda Managed Instances in {region}, as far as is known: take kind = "
            '"container" (docs/containers.md)'
        )


def _streaming_problems(api: ApiConfig, region: str) -> Iterator[str]:
    if api.adapter_image is not None:
        return
    if api.web_adapter is None:
        if api.streaming and region.startswith(OTHER_PARTITIONS):
            yield (
                f"streaming: AWS publishes no layer with the Lambda Web Adapter for arm64 in {region}. Publish one of "
                "your own, and name it as web-adapter in [tool.coatcheck.api] (docs/front-doors.md)"
            )
    elif (layers := api.web_adapter.split(":")[3]) != region:
        yield f"web-adapter is a layer of {layers}, and the stack is in {region}: a function takes layers of its region"
