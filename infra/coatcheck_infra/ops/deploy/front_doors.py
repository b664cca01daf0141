"""The front doors that a deploy asks for: what each needs, and what is easily overlooked when they change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from coatcheck_service.front_door import ALB, FRONT_DOORS, MIB, REST, FrontDoor

NEEDED_BY_BALANCER: Sequence[str] = (
    "PublicUrl",
    "LoadBalancerSubnets",
    "LoadBalancerSecurityGroups",
    "LoadBalancerCertificate",
)
"""The parameters that a load balancer needs. It takes requests for any name, so no link can be made of one's own."""

NEEDED_BY_CLOUDFRONT: Sequence[str] = ("PublicUrl", "CloudFrontCertificate")

IMAGE_OF_API = "ApiImage"
"""The parameter of a stack whose API is in containers: a load balancer does not limit what it sends to those."""


def doors_of(values: Mapping[str, str]) -> list[FrontDoor]:
    """Return the doors of a stack with the parameters `values`. One from before there was a choice has a REST API."""
    return [FRONT_DOORS[name] for name in values.get("FrontDoor", REST.name).split("+")]


def front_door_problem(values: Mapping[str, str]) -> str | None:
    """Return why CloudFormation would refuse the doors of `values`, or None."""
    for what, asked, needed in (
        (f"FrontDoor={values.get('FrontDoor')}", ALB in doors_of(values), NEEDED_BY_BALANCER),
        ("CloudFront", "CloudFrontCertificate" in values, NEEDED_BY_CLOUDFRONT),
    ):
        missing = [name for name in needed if not values.get(name)]
        if asked and missing:
            return f"{what} needs {' and '.join(missing)} too (docs/front-doors.md)"
    return None


def front_door_warnings(values: Mapping[str, str], before: Mapping[str, str] | None) -> Iterator[str]:
    """Yield warnings for the doors of `values`; `before` are the live stack's own parameters, if there is one."""
    doors = doors_of(values)
    if before is not None:
        for door in doors_of(before):
            if door not in doors:
                yield (
                    f"The front door {door.name} is removed: clients that still use its URL get no answer. "
                    "Have both for a while, where both can be (docs/front-doors.md)."
                )
        yield from _streaming_warnings(values.get("Streaming", "off"), before.get("Streaming", "off"))
    in_containers = IMAGE_OF_API in values
    functions = [door for door in doors if not (door is ALB and in_containers)]
    if any(door is not REST for door in functions) and values["ApiReservedConcurrency"] == "0":
        yield (
            "RequestsPerSecond limits a REST API alone: at the other door nothing but the account's concurrency limits "
            "requests. Set ApiReservedConcurrency, where the account allows it."
        )
    for door in functions:
        if int(values["MaxJsonMegabytes"]) * MIB > door.max_body:
            yield f"MaxJsonMegabytes={values['MaxJsonMegabytes']}, and {door.name} carries {door.max_body:,} bytes."


def _streaming_warnings(now: str, before: str) -> Iterator[str]:
    if now != before:
        yield (
            f"Streaming goes from {before} to {now}: the function and its front door change one after the other, and "
            "requests in between may get 502 or 503 for some seconds. docs/front-doors.md#answers-that-stream says how "
            "to switch without."
        )
        if now == "on":
            yield (
                "Each event stream occupies a function for up to a minute, and so one of the account's concurrent "
                "executions."
            )
