"""Where webhooks may go, as far as a URL's text tells: the deliverer looks at the addresses behind it."""

from __future__ import annotations

from urllib.parse import urlsplit

from coatcheck.core.errors import FieldError
from coatcheck.core.ssrf import SsrfPolicy, UrlRefused, check
from coatcheck_service.http.authentication import RequestContext


def url_errors(context: RequestContext, url: str, pointer: str) -> list[FieldError]:
    """What is wrong with a URL that the caller wants to be called: at most one thing, told at `pointer`."""
    try:
        check(url, _ssrf_policy(context))
    except UrlRefused as error:
        return [FieldError(pointer, error.reason)]
    return []


def _ssrf_policy(context: RequestContext) -> SsrfPolicy:
    """Every place the deployment allows but the service itself, under the names that it is known by here."""
    settings = context.dependencies.settings
    names = {context.host, urlsplit(context.base_url).netloc, *settings.refused_hosts}
    return (SsrfPolicy.local if settings.webhook_targets == "local" else SsrfPolicy.public)(*names)
