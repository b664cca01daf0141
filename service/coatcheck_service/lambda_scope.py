"""What Lambda's front doors say of a request, as members of an ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from coatcheck_service.front_door import DOOR_REQUEST_ID, Event, client_address
from coatcheck_service.public_path import paths_below


def members_of_scope(event: Event, path: str, public_url: str) -> Mapping[str, Any]:
    """Return the members that a scope with `path` gets: the id and the client's address, and the `root_path` they see.

    That is the path of `public_url`, else API Gateway's stage or base path. The scheme is https: no front door has
    another, and `X-Forwarded-Proto` may be a client's word.
    """
    prefix, own_path = split_path(event, path)
    root = urlsplit(public_url).path if public_url else prefix
    # API Gateway says where our own part begins; a load balancer and CloudFront send the path on as clients have it
    paths = paths_below(root, path) if "resource" not in event else {"root_path": root, "path": root + own_path}
    return {
        DOOR_REQUEST_ID: (event.get("requestContext") or {}).get("requestId"),
        "client": (client_address(event) or "", 0),
        "scheme": "https",
        **paths,
    }


def split_path(event: Event, path: str) -> tuple[str, str]:
    """Return what comes before our own part of a path, and that part. Only API Gateway has something before it."""
    if "resource" not in event:
        return "", path
    # the resource has as many segments as the part of the path that is ours
    resource, full_path = event["resource"].strip("/"), event["requestContext"]["path"]
    segments = resource.count("/") + 1 if resource else 0
    prefix = full_path.split("/")[:-segments] if segments else full_path.rstrip("/").split("/")
    return "/".join(prefix), "/" + "/".join(path.split("/")[-segments:] if segments else ())
