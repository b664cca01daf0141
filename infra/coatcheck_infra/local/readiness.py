"""Checks that the stack works: a real job runs through it, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx

from coatcheck_infra.local.up_error import UpError

PAUSE = 0.05
FIRST_JOB = {"type": "coatcheck.ping"}
WAIT = {"Prefer": "wait=20"}


async def wait_until_ready(url: str, api_key: str, limit: float) -> None:
    """Wait until the service is healthy and has run a job, which is then deleted.

    Raises `UpError` if that takes longer than `limit` seconds, or if the job does not succeed.
    """
    headers = {"Authorization": f"Bearer {api_key}"}
    waits_for = "the API to answer"
    try:
        async with (
            asyncio.timeout(limit),
            httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=limit) as http,
        ):
            await _wait_until_healthy(http)
            waits_for = "a first job to finish"
            await _run_first_job(http)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise UpError(f"waited {limit:g} s for {waits_for}; see the lines above") from error
    except json.JSONDecodeError as error:
        raise UpError(f"the first job failed: the answer is no JSON: {error.doc[:100]!r}") from error
    except httpx.HTTPError as error:
        # httpx adds a second line with a link about the status
        raise UpError(f"the first job failed: {str(error).partition(chr(10))[0]}") from error


async def _wait_until_healthy(http: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.TransportError):
            if (await http.get("/v1/health")).is_success:
                return
        await asyncio.sleep(PAUSE)


async def _run_first_job(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/jobs", json=FIRST_JOB, headers=WAIT)
    while not (view := response.raise_for_status().json())["done"]:
        response = await http.get(f"/v1/jobs/{view['id']}", headers=WAIT)
    if view["status"] != "succeeded":
        raise UpError(f"the first job ended as {view['status']}: {view['error']}")
    (await http.delete(f"/v1/jobs/{view['id']}")).raise_for_status()
