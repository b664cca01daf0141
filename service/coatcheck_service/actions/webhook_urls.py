"""Checks by a URL's text whether webhooks may go there. The deliverer checks the addresses that it resolves to."""

from __future__ import annotations

from urllib.parse import urlsplit

from coatcheck.core.errors import FieldError
from coatcheck.core.ssrf import SsrfPolicy, UrlRefused, check
from coatcheck_service.http.authentication import RequestContext


def url_errors(context: RequestContext, url: str, pointer: str) -> list[FieldError]:
    """Return the errors of a webhook URL, located at `pointer`: at most one."""
    try:
        check(url, _ssrf_policy(context))
    except UrlRefused as error:
        return [FieldError(pointer, error.reason)]
    return []


def _ssrf_policy(context: RequestContext) -> SsrfPolicy:
    """Build the policy: every target that the deployment allows, except the service itself under its known names."""
    settings = context.dependencies.settings
    names = {context.host, urlsplit(context.base_url).netloc, *settings.refused_hosts}
    return (SsrfPolicy.local if settings.webhook_targets == "local" else SsrfPolicy.public)(*names)
