"""The list of job types comes in pages that a front door can carry."""

from __future__ import annotations

import base64
from typing import Any

import httpx
from pydantic import create_model

from coatcheck.authoring.types import Catalog, JobType
from coatcheck_service.front_door import ALB, MIB
from tests.unit.service.in_process import app, client

FIELDS: Any = {f"field_{number}": (str, "a default value that takes some room") for number in range(60)}
LARGE = create_model("Large", __doc__="A model with many fields.", **FIELDS)
MANY: Catalog = {
    one.name: one
    for one in (JobType(f"made.up_{number:03}", LARGE, LARGE, handler="jobs.made:up") for number in range(200))
}


async def pages() -> list[httpx.Response]:
    found, query = [], dict[str, str]()
    async with client(app(catalog=MANY, front_door=ALB)) as http:
        while True:
            found.append(await http.get("/v1/job-types", params=query))
            if (following := found[-1].json()["next"]) is None:
                return found
            query = {"after": following}


async def test_large_schemas_make_several_pages_that_a_load_balancer_takes() -> None:
    answers = await pages()
    assert sum(len(one.content) for one in answers) > 2 * MIB
    # Lambda gives a load balancer a body as base64
    assert max(len(base64.b64encode(one.content)) for one in answers) < MIB - 64 * 1024
    assert [entry["name"] for one in answers for entry in one.json()["data"]] == sorted(MANY)


async def test_a_wrong_query_is_refused() -> None:
    async with client(app(catalog=MANY)) as http:
        assert (await http.get("/v1/job-types", params={"before": "x"})).status_code == 422
        past_the_last = await http.get("/v1/job-types", params={"after": "zzz"})
    assert past_the_last.json() == {"data": [], "next": None}
