"""What the authorizer of API Gateway answers: whose a bearer token is, before the API's function is invoked.

It is the code that the API runs itself where there is no authorizer. API Gateway keeps each answer for as long as the
template says, and invokes this only for an `Authorization` header that it has not just seen.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from coatcheck.core.errors import Forbidden, Unauthenticated
from coatcheck_service.http.authenticators import identify
from coatcheck_service.http.gateway_identity import verdict
from coatcheck_service.identity_sources import IdentitySources

log = logging.getLogger(__name__)

_BEARER = re.compile(r"bearer +(?P<token>[!-~]+) *", re.IGNORECASE)

Event = Mapping[str, Any]
Answer = dict[str, Any]


async def authorize(event: Event, sources: IdentitySources) -> Answer:
    """Return what API Gateway is to do with the request of `event`, and with all that have the same credentials.

    Where that cannot be known now it raises, which API Gateway answers with 503.
    """
    try:
        principal = await identify(_token(event), sources)
    except Unauthenticated as refused:
        return _answer(event, "Deny", {"detail": refused.detail})
    except Forbidden as refused:
        # the API says 403; API Gateway has one answer for all that it denies, which is 401
        return _answer(event, "Allow", {"forbidden": refused.detail})
    log.info("admitted", extra={"tenant": principal.tenant, "key": principal.key_id, "subject": principal.subject})
    said = verdict(principal)
    if sources.settings.service_proxy == "on":
        from coatcheck_service.http.proxy_permission import may_use_proxy  # noqa: PLC0415 - few deployments have one

        said |= {"proxy": "yes"} if await may_use_proxy(principal, sources) else {}
    return _answer(event, "Allow", said)


def _token(event: Event) -> str:
    headers: Mapping[str, list[str]] = event.get("multiValueHeaders") or {}
    found = [value for name, values in headers.items() if name.lower() == "authorization" for value in values]
    if len(found) > 1:
        raise Unauthenticated("There are several `Authorization` headers: send one.")
    bearer = _BEARER.fullmatch(found[0]) if found else None
    if bearer is None:
        raise Unauthenticated("The `Authorization: Bearer` header with an API key or a token is missing.")
    return bearer["token"]


def _answer(event: Event, effect: str, context: Mapping[str, str | int]) -> Answer:
    # the answer is kept for the token, whatever is asked for with it: so it is for every method of the stage
    stage = "/".join(str(event["methodArn"]).split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{stage}/*"}
    return {
        "principalId": context.get("tenant", "nobody"),
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        # a gateway response puts it between quotes as it is
        "context": {name: _unquoted(value) for name, value in context.items()},
    }


def _unquoted(value: str | int) -> str | int:
    return re.sub(r'["\\\x00-\x1f]', "'", value) if isinstance(value, str) else value
