"""List prices of AWS in us-east-1, in US dollars, without the free tier and without discounts for large volumes.

Look each up again before you rely on it: most pages of AWS show their prices only in a browser, so that these were read
in what AWS's documentation and others quote of them, in November 2026. The two of durable data could not be confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """`dollars` for a million of a thing; `source` is AWS's page of it."""

    dollars: float
    source: str


def _per(unit: float, each: float = 1.0) -> float:
    """The price of a million, when `each` of them cost `unit`."""
    return unit / each * MILLION


_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_SQS = "https://aws.amazon.com/sqs/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_GATEWAY = "https://aws.amazon.com/api-gateway/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_ALB = "https://aws.amazon.com/elasticloadbalancing/pricing/"
_FARGATE = "https://aws.amazon.com/fargate/pricing/"
_STEPS = "https://aws.amazon.com/step-functions/pricing/"

PRICES: Mapping[str, Price] = {
    "write units": Price(0.625, _DYNAMODB),
    "read units": Price(0.125, _DYNAMODB),
    "SQS requests": Price(0.40, _SQS),
    "S3 writes": Price(5.00, _S3),
    "S3 reads": Price(0.40, _S3),
    "Lambda requests": Price(0.20, _LAMBDA),
    "Lambda GB-seconds": Price(_per(0.0000133334), _LAMBDA),
    "REST API requests": Price(3.50, _GATEWAY),
    "GB of logs": Price(_per(0.50), _CLOUDWATCH),
    "load balancer hours": Price(_per(0.0225 + 2 * 0.005), _ALB),
    "load balancer units": Price(_per(0.008), _ALB),
    "Fargate CPU hours": Price(_per(0.03238), _FARGATE),
    "Fargate GB hours": Price(_per(0.00356), _FARGATE),
    "state transitions": Price(_per(0.025, 1000), _STEPS),
    "durable operations": Price(8.00, _LAMBDA),
    "GB of durable data": Price(_per(0.25), _LAMBDA),
    "GB-months of durable data": Price(_per(0.15), _LAMBDA),
}
"""Dollars for a million of each: of a unit, a request, a GB, an hour. Compute is arm64. Hours of a load balancer are
with two public addresses. Its units are its capacity units (LCU), which last an hour.
"""
