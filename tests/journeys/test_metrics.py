"""The metrics of the functions, as they are deployed: the lines in their logs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coatcheck_infra.local.resources import STACK
from tests.journeys.up_process import Stack
from tests.metric_lines import Datum, data_of
from tests.waiting import eventually

EMF = '{"_aws"'

OF_TYPE = {"JobType": "demo.sleep"}
TOLD: list[tuple[str, dict[str, str]]] = [
    ("Requests", {"Endpoint": "POST /v1/jobs", "StatusClass": "2xx"}),
    ("JobsSubmitted", OF_TYPE),
    ("AttemptsStarted", OF_TYPE),
    ("JobsEnded", {**OF_TYPE, "Outcome": "succeeded"}),
]


def test_functions_write_their_metrics_to_the_log_under_the_name_of_the_stack(full_stack: Stack) -> None:
    with full_stack.client() as client:
        submitted = client.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}})
        job = submitted.raise_for_status().json()["id"]
        eventually(lambda: client.get(f"/v1/jobs/{job}").raise_for_status().json()["done"], 90)

    # a function writes when its invocation ends
    for name, dimensions in TOLD:
        eventually(partial(is_told, full_stack, name, dimensions), 60)
    told = data(full_stack)
    assert {one.namespace for one in told} == {STACK}
    assert not any("Tenant" in one.dimensions for one in told)


def data(stack: Stack) -> list[Datum]:
    """What CloudWatch would take from the logs; raises ValidationError for a line that is not valid."""
    # what comes after the last line break is still being written
    log = stack.home / "logs" / "ministack.log"
    lines = log.read_text(errors="replace").rpartition("\n")[0].splitlines()
    return list(data_of(line[line.index(EMF) :] for line in lines if EMF in line))


def is_told(stack: Stack, name: str, dimensions: Mapping[str, str]) -> bool:
    """Whether a metric has counted something until now."""
    return any(one.value >= 1 for one in data(stack) if (one.name, one.dimensions) == (name, dimensions))
