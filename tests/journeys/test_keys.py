"""An owner creates, rotates and revokes keys of a stack that runs, in both ways of running it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.journeys.results import submitted
from tests.journeys.up_process import COATCHECK, Stack


def keys(stack: Stack, cwd: Path, *argv: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
    done = subprocess.run(
        [*COATCHECK, "keys", *argv],
        env={**plain, "COATCHECK_HOME": str(stack.home)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(stack: Stack, key: str, method: str, path: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.request(method, f"{stack.url}{path}", headers=headers, timeout=60, trust_env=False)
    return answer.status_code, answer.json()


def test_a_key_lets_in_until_it_is_revoked(front_door: Stack, tmp_path: Path) -> None:
    writer, reader, revoked = (
        json.loads(keys(front_door, tmp_path, "create", "journey", "--json", *more))
        for more in ([], ["--scope", "jobs:read"], [])
    )
    headers = {"Authorization": f"Bearer {writer['key']}"}
    with httpx.Client(base_url=front_door.url, headers=headers, timeout=60, trust_env=False) as http:
        job = submitted(http, "demo.sleep", {"seconds": 0})
    assert ask(front_door, reader["key"], "GET", f"/v1/jobs/{job}")[0] == 200
    status, problem = ask(front_door, reader["key"], "GET", f"/v1/jobs/{job}/result")
    assert (status, problem["code"]) == (403, "missing-scope")
    assert ask(front_door, front_door.api_key, "GET", f"/v1/jobs/{job}")[0] == 404

    keys(front_door, tmp_path, "revoke", revoked["id"])
    status, problem = ask(front_door, revoked["key"], "GET", f"/v1/jobs/{job}")
    assert (status, problem["detail"]) == (401, "The API key is revoked.")
    successor = keys(front_door, tmp_path, "rotate", reader["id"]).strip()
    assert [ask(front_door, key, "GET", f"/v1/jobs/{job}")[0] for key in (reader["key"], successor)] == [200, 200]
    listed = [json.loads(line) for line in keys(front_door, tmp_path, "list", "--json").splitlines()]
    used = {one["id"]: one["last_used_at"] for one in listed}
    assert used[writer["id"]] is not None
    assert {one["tenant"] for one in listed} >= {"local", "journey"}


def test_several_credentials_are_refused(front_door: Stack) -> None:
    headers = [("Authorization", f"Bearer {front_door.api_key}")] * 2
    answer = httpx.get(f"{front_door.url}/v1/jobs", headers=headers, timeout=60, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
