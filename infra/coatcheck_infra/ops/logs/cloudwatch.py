"""The log groups of a stack in CloudWatch Logs, and the lines in them that name a job."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from coatcheck.client.exceptions import InvalidArgumentError

CONFIG = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})


def log_groups(session: boto3.Session, stack: str, endpoint_url: str | None = None) -> list[str]:
    """Return the names of the log groups of a stack. Raises InvalidArgumentError if there is no such stack."""
    cloudformation = session.client("cloudformation", endpoint_url=endpoint_url, config=CONFIG)
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    try:
        resources = [one for page in pages for one in page["StackResourceSummaries"]]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise InvalidArgumentError(f"--stack {stack}: no such stack in {session.region_name}") from None
    groups = [one["PhysicalResourceId"] for one in resources if one["ResourceType"] == "AWS::Logs::LogGroup"]
    if not groups:
        raise InvalidArgumentError(f"--stack {stack}: not a stack of Coatcheck; it has no log groups")
    return groups


def matching_lines(
    session: boto3.Session, groups: Sequence[str], job: str, *, since: int, endpoint_url: str | None = None
) -> Iterator[str]:
    """Yield the lines of all groups that name a job, in the order of their times. `since`: milliseconds."""
    logs: Any = session.client("logs", endpoint_url=endpoint_url, config=CONFIG)

    def of_group(group: str) -> Iterator[tuple[int, str]]:
        paginator = logs.get_paginator("filter_log_events")
        for page in paginator.paginate(logGroupName=group, filterPattern=f'"{job}"', startTime=since):
            for event in page["events"]:
                yield event["timestamp"], event["message"].rstrip("\n")

    for _, line in heapq.merge(*map(of_group, groups), key=lambda one: one[0]):
        yield line
