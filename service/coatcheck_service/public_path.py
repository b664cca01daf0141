"""The path of the public URL, which what is in front of the API sends on with a request, or takes off."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send


def below_public_url(app: ASGIApp, public_url: str) -> ASGIApp:
    """Return `app`, which gets its requests below the path of `public_url`, whether they come with it or without."""
    root = urlsplit(public_url).path
    if not root:
        return app

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            scope = {**scope, **paths_below(root, scope["path"])}
        await app(scope, receive, send)

    return serve


def paths_below(root: str, path: str) -> Mapping[str, str]:
    """Return the members of an ASGI scope that say a path: `path` below `root`, which it may begin with already."""
    own_path = path.removeprefix(root) if path.startswith(f"{root}/") else path
    return {"root_path": root, "path": root + own_path}
