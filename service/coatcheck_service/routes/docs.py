"""The documentation of the API, open to everyone: /openapi.json for programs, /docs for people.

The page and all that it loads come from this service: nothing of another origin runs where a key is typed in, and
it works without the internet.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coatcheck.core.errors import NotFound
from coatcheck_service.front_door import FRONT_DOOR
from coatcheck_service.http import etags
from coatcheck_service.http.authentication import base_url, dependencies_of

router = APIRouter(include_in_schema=False)

START = """\
"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""
"""Swagger UI on the document beside the page. It would show a badge of a validator elsewhere, unless told not to:
https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/"""

_GZIP = re.compile(r"(?i)\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")

ASSETS: Mapping[str, str] = {
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""What the page loads, with its media types."""

# every address is relative: the page works below any prefix, as the stage of API Gateway is one
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Coatcheck API</title>
<link rel="icon" href="docs/favicon-32x32.png?v={version}">
<link rel="stylesheet" href="docs/swagger-ui.css?v={version}">
<script defer src="docs/swagger-ui-bundle.js?v={version}"></script>
<script defer src="docs/start.js?v={version}"></script>
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. What it shows is <a href="openapi.json">openapi.json</a>.</noscript>
</body>
</html>
"""

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


@router.get("/", operation_id="root")
async def root(request: Request) -> Response:
    """Lead a browser to the page, and tell a program where everything is."""
    base = base_url(request)
    urls = {"docs": f"{base}/docs", "openapi": f"{base}/openapi.json", "health": f"{base}/v1/health"}
    return JSONResponse(urls, 303, headers={"Location": urls["docs"]})


@router.get("/openapi.json", operation_id="openapi")
async def openapi(request: Request) -> Response:
    """The OpenAPI document, which names the prefix that clients reach the service below."""
    public_url = dependencies_of(request).settings.public_url
    prefix = urlsplit(public_url).path if public_url else request.scope.get("root_path", "")
    servers = {"servers": [{"url": prefix.rstrip("/")}]} if prefix.rstrip("/") else {}
    document = json.dumps(request.app.openapi() | servers, ensure_ascii=False, separators=(",", ":"))
    return _with_etag(request, document.encode(), "application/json")


@router.get("/docs", operation_id="docs")
async def docs(request: Request) -> Response:
    """The page."""
    response = _with_etag(request, _PAGE.format(version=_version()).encode(), "text/html; charset=utf-8")
    response.headers.update(_SECURITY_HEADERS)
    return response


@router.get("/docs/{asset}", operation_id="docs_asset")
async def docs_asset(request: Request, asset: str) -> Response:
    """What the page loads."""
    if asset not in ASSETS:
        raise NotFound("There is no such path: see /docs for the API.")
    content = _content(asset)
    door = request.scope.get(FRONT_DOOR) or dependencies_of(request).front_door
    if _accepts_gzip(request) or len(content) > door.inline_limit:
        # the script alone is more than a load balancer carries
        response = _with_etag(request, _compressed(asset), ASSETS[asset])
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = _with_etag(request, content, ASSETS[asset])
    response.headers.add_vary_header("Accept-Encoding")
    return response


def _accepts_gzip(request: Request) -> bool:
    return bool(_GZIP.search(request.headers.get("accept-encoding", "")))


def _with_etag(request: Request, content: bytes, media_type: str) -> Response:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    response = Response(content, media_type=media_type, headers={"ETag": etag})
    return etags.not_modified(response) if etags.matches_etag(request, etag) else response


@cache
def _content(asset: str) -> bytes:
    return START.encode() if asset == "start.js" else (files("fastapi_swagger") / "resources" / asset).read_bytes()


@cache
def _compressed(asset: str) -> bytes:
    return gzip.compress(_content(asset), mtime=0)


@cache
def _version() -> str:
    """Changes with the assets, so that a page never runs on those that a browser keeps of an earlier one."""
    return hashlib.sha256(b"".join(map(_content, ASSETS))).hexdigest()[:16]
