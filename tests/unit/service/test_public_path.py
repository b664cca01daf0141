"""Where `COATCHECK_PUBLIC_URL` has a path, requests may come with it or without, at uvicorn as at other doors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.service_requests import service_environment
from coatcheck_service.public_path import paths_below

ASK = """\
import asyncio, json, sys
import httpx
from coatcheck_service.main import app

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://api") as http:
        answers = [await http.get(path) for path in sys.argv[1:]]
    print(json.dumps([[one.status_code, one.text] for one in answers]))

asyncio.run(main())
"""
"""The app of `uvicorn --factory coatcheck_service.main:app`, asked in its own process."""


def answers(*paths: str, **env: str) -> list[tuple[int, str]]:
    with service_environment() as ours:
        command = [sys.executable, "-c", ASK, *paths]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env={**ours, **env}).stdout
    return [(status, text) for status, text in json.loads(said.splitlines()[-1])]


def test_uvicorn_takes_requests_with_the_path_and_without() -> None:
    paths = ("/v1/health", "/jobs/v1/health", "/jobs/jobs/v1/health")
    without, below, twice = answers(*paths, COATCHECK_PUBLIC_URL="https://example.com/jobs")
    assert (without[0], below, twice[0]) == (200, without, 404)
    assert [status for status, _ in answers(*paths)] == [200, 404, 404]


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/v1/jobs", "/jobs/v1/jobs"),
        ("/jobs/v1/jobs", "/jobs/v1/jobs"),
        ("/jobs", "/jobs/jobs"),
        ("/jobsite/v1", "/jobs/jobsite/v1"),
        ("/", "/jobs/"),
    ],
)
def test_a_path_is_below_the_public_one_once(path: str, below: str) -> None:
    assert paths_below("/jobs", path) == {"root_path": "/jobs", "path": below}
