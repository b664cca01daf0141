"""A deploy says before it builds what a region does not have."""

from __future__ import annotations

from typing import Any

import pytest

from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.ops.deploy.regions import check_region
from coatcheck_infra.project.config import ProjectConfig

LAYER = "arn:aws-cn:lambda:cn-north-1:123456789012:layer:adapter:3"


def project(**tables: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"jobs": ["jobs.words"], **tables})


@pytest.mark.parametrize(
    ("region", "api", "why"),
    [
        ("cn-north-1", {"streaming": True}, "no layer with the Lambda Web Adapter for arm64 in cn-north-1"),
        ("us-gov-west-1", {"streaming": True}, "name it as web-adapter"),
        ("cn-northwest-1", {"streaming": True, "web-adapter": LAYER}, "web-adapter is a layer of cn-north-1"),
    ],
)
def test_streaming_needs_a_layer_of_the_region(region: str, api: dict[str, Any], why: str) -> None:
    with pytest.raises(DeployRefused, match=why):
        check_region(project(api=api), region)


@pytest.mark.parametrize(
    ("region", "api"),
    [
        ("eu-central-1", {"streaming": True}),
        ("cn-north-1", {"streaming": True, "web-adapter": LAYER}),
        ("cn-north-1", {}),
    ],
)
def test_with_one_it_is_deployed(region: str, api: dict[str, Any]) -> None:
    check_region(project(api=api), region)
