"""An authorizer in front of the API, and tokens of an issuer: `up --whole` as a project asks for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.journeys.conftest import StartUp, running
from tests.journeys.results import submitted
from tests.journeys.test_keys import keys
from tests.journeys.test_up_project import GREET, PYPROJECT
from tests.journeys.up_process import COATCHECK, Stack
from tests.oidc_issuer import AUDIENCE, OidcIssuer
from tests.repository import ROOT
from tests.waiting import eventually

PROJECT = PYPROJECT + "\n[tool.coatcheck.api]\nauthorizer = true\n"


@pytest.fixture(scope="module")
def guarded(start_shared_up: StartUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole template of a project that has an authorizer."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "jobs" / "greet.py").write_text(GREET)
    (folder / "requirements.lock").write_text((ROOT / "example" / "requirements.lock").read_text())
    yield from running(start_shared_up("--whole", cwd=folder))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcIssuer]:
    """An issuer in a process of its own."""
    folder = tmp_path_factory.mktemp("issuer")
    with subprocess.Popen([sys.executable, "-m", "tests.oidc_issuer", str(folder)], cwd=ROOT) as process:
        try:
            eventually(lambda: (folder / "url").exists() or process.poll() is not None)
            key = RSAKey.import_key(json.loads((folder / "key.json").read_text()))
            yield OidcIssuer((folder / "url").read_text(), key)
        finally:
            process.kill()


def trust(stack: Stack, cwd: Path, policy: Any) -> None:
    """What the owner types."""
    file = cwd / "trust.json"
    file.write_text(json.dumps(policy))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
    env = {**plain, "COATCHECK_HOME": str(stack.home)}
    subprocess.run([*COATCHECK, "trust", "set", str(file)], env=env, check=True, timeout=120, capture_output=True)


def ask(stack: Stack, authorization: str | None, path: str = "/v1/jobs") -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.get(f"{stack.url}{path}", headers=headers, timeout=60, trust_env=False)


def test_the_gateway_refuses_by_itself_what_the_api_would_refuse(guarded: Stack, tmp_path: Path) -> None:
    reader = keys(guarded, tmp_path, "create", "guarded", "--scope", "jobs:read").strip()
    assert ask(guarded, f"Bearer {reader}").status_code == 200
    refused = ask(guarded, f"Bearer {reader}", "/v1/webhook-endpoints")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing-scope")
    for authorization in (None, "", "Basic YTpi", "Bearer", "Bearer nonsense", f"Bearer {reader}x"):
        answer = ask(guarded, authorization)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), authorization
        # made by the gateway: the function's own header has another name there
        assert answer.headers["www-authenticate"] == 'Bearer realm="coatcheck"'
        assert answer.headers["content-type"] == "application/problem+json"
    assert ask(guarded, None, "/v1/health").status_code == 200
    forged = {"tenant": "local", "scopes": "jobs:read", "X-Amzn-Authorizer": '{"tenant": "local"}'}
    answer = httpx.get(f"{guarded.url}/v1/jobs", headers=forged, timeout=60, trust_env=False)
    assert answer.status_code == 401


@pytest.mark.parametrize("door", ["stack", "guarded"])
def test_a_token_of_an_issuer_leads_to_its_tenant(
    request: pytest.FixtureRequest, door: str, issuer: OidcIssuer, tmp_path: Path
) -> None:
    stack: Stack = request.getfixturevalue(door)
    trust(stack, tmp_path, {"issuers": [{"issuer": issuer.url, "audiences": [AUDIENCE]}]})
    token = issuer.token(scope="jobs:submit jobs:read", tenant="from-a-token")
    with httpx.Client(
        base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    ) as http:
        job = submitted(http, "coatcheck.ping", {})
        assert [one["id"] for one in http.get("/v1/jobs").json()["data"]] == [job]
    assert ask(stack, f"Bearer {stack.api_key}", f"/v1/jobs/{job}").status_code == 404
    assert ask(stack, f"Bearer {issuer.token(exp=1)}").status_code == 401
    answer = ask(stack, f"Bearer {issuer.token(tenant=None)}")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
