"""Where webhooks may go, as far as a URL's text tells: the deliverer looks at the addresses behind it."""

from __future__ import annotations

from urllib.parse import urlsplit

from coatcheck.errors import Flaw
from coatcheck.targets import TargetRefused, Targets, check
from service.caller import Caller


def flaws_in(caller: Caller, url: str, pointer: str) -> list[Flaw]:
    """What is wrong with a URL that the caller wants to be called: at most one thing, told at `pointer`."""
    try:
        check(url, _targets(caller))
    except TargetRefused as error:
        return [Flaw(pointer, error.reason)]
    return []


def _targets(caller: Caller) -> Targets:
    """Every place the deployment allows but the service itself, under the names that it is known by here."""
    deployment = caller.tools.deployment
    names = {caller.host, urlsplit(caller.base_url).netloc, *deployment.refused_hosts}
    return (Targets.local if deployment.webhook_targets == "local" else Targets.public)(*names)
