"""What docs/files.md shows is run as it stands there, and its limits are the ones that hold."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coatcheck.core.aws.s3 import DOWNLOAD_URL_SECONDS
from coatcheck.core.part_plan import MAX_PARTS, MIN_PART_SIZE, SINGLE_PART_LIMIT, UPLOAD_LIMIT
from coatcheck.core.settings import Settings
from coatcheck_service.actions.job_inputs import MAX_UPLOADS
from coatcheck_service.actions.multipart_uploads import MAX_OPEN_UPLOADS
from coatcheck_service.front_door import LAMBDA, UVICORN
from coatcheck_service.http.json_size import MAX_VALUES
from coatcheck_worker.protocol import MAX_ARTIFACTS
from coatcheck_worker.runner.storage.part_uploader import MAX_SIZE
from tests.journeys.results import fetch_result, submitted
from tests.journeys.up_process import Stack

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
MIB = 1024**2
SIZE = 30_000_000
SMALL = 1_000_000


def blocks(language: str) -> list[str]:
    """Every block of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def defined(holding: str, name: str) -> Callable[..., Any]:
    """A function of the one block of Python that has this in it."""
    (code,) = [block for block in blocks("python") if holding in block]
    namespace: dict[str, Any] = {}
    exec(compile(code, "docs/files.md", "exec"), namespace)
    found: Callable[..., Any] = namespace[name]
    return found


def run_command(command: str, folder: Path, environ: dict[str, str]) -> None:
    """Type a command in a folder."""
    run_command = ["bash", "-eu", "-c", command]
    ran = subprocess.run(
        run_command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("size", [SIZE, SMALL], ids=["by link", "in the answer"])
def test_a_result_is_fetched_and_goes_on_where_it_broke_off(stack: Stack, tmp_path: Path, size: int) -> None:
    fetch, go_on = blocks("sh")
    with stack.client() as http:
        job_id = submitted(http, "demo.bytes", {"size": size, "seed": 3})
        fetch_result(http, job_id)
        done = http.get(f"/v1/jobs/{job_id}").json()
    environ = {"URL": stack.url, "KEY": stack.api_key, "ID": job_id}
    (tmp_path / "build").mkdir()
    saved = tmp_path / "build" / "result.csv"
    run_command(fetch, tmp_path, environ)
    whole = saved.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == done["result"]["sha256"]

    for there in (size // 3, size):
        saved.write_bytes(whole[:there])
        run_command(go_on, tmp_path, environ)
        assert saved.read_bytes() == whole


def test_parts_that_are_missing_are_sent(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"a\n" + b"1\n" * (2 * MIN_PART_SIZE // 2))
    announce, send_missing = (defined("def announce", name) for name in ("announce", "send_missing"))
    with stack.client() as api:
        upload_id = announce(api, file, "text/csv")
        ticket = api.get(f"/v1/uploads/{upload_id}").json()["ticket"]
        assert len(ticket["parts"]) == 3
        # an earlier run got this far
        part = ticket["parts"][1]
        middle = file.read_bytes()[MIN_PART_SIZE : 2 * MIN_PART_SIZE]
        assert api.put(part["url"], content=middle, headers={"Authorization": ""}).is_success
        for _ in range(2):
            send_missing(api, file, upload_id)
            assert api.get(f"/v1/uploads/{upload_id}").json()["complete"]


def test_the_client_does_it_all(stack: Stack, tmp_path: Path) -> None:
    flights, into = tmp_path / "flights.csv", tmp_path / "by_carrier.csv"
    flights.write_text("carrier\nUA\nDL\nUA\n")
    defined("def flights_by_carrier", "flights_by_carrier")(stack.url, stack.api_key, flights, into)
    assert list(csv.reader(into.read_text().splitlines())) == [["carrier", "n"], ["UA", "2"], ["DL", "1"]]


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("10 MB (10,485,760 bytes)", UVICORN.inline_limit == UVICORN.max_body == 10_485_760),
        ("1 MB (1,048,576 bytes)", Settings.model_fields["max_json_bytes"].default == 1_048_576),
        ("names and values in it | 50,000", MAX_VALUES == 50_000),
        (
            "4.4 MB (4,669,440 bytes) where the API is a Lambda function",
            LAMBDA.inline_limit == LAMBDA.max_body == 4_669_440,
        ),
        ("for ten minutes", DOWNLOAD_URL_SECONDS == 600),
        ("of more than 5 GB has to be sent in parts, and one of more than 8 MB", MIN_PART_SIZE == 8 * MIB),
        ("an upload sent in one request | 5 GB", SINGLE_PART_LIMIT == 5 * 1024 * MIB),
        ("1 TB, in parts of 8 MB and more, 10,000 of them", (UPLOAD_LIMIT, MAX_PARTS) == (1024**4, 10_000)),
        ("not completed | 100 for a tenant", MAX_OPEN_UPLOADS == 100),
        ("named in one input | 100", MAX_UPLOADS == 100),
        ("| 461 GB |", MAX_SIZE // 10**9 == 461),
        ("artifacts of a job | 1,000", MAX_ARTIFACTS == 1000),
    ],
)
def test_a_limit_is_the_one_that_holds(said: str, holds: bool) -> None:  # noqa: FBT001 - a row of the table
    assert said in PAGE
    assert holds
