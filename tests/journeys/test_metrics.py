"""The metrics of the functions, as they are deployed: the lines in their logs."""

from __future__ import annotations

from coatcheck_infra.local.resources import STACK
from tests.journeys.up_process import Stack
from tests.metric_lines import Datum, data_of
from tests.waiting import eventually

EMF = '{"_aws"'


def test_functions_write_their_metrics_to_the_log_under_the_name_of_the_stack(full_stack: Stack) -> None:
    with full_stack.client() as client:
        submitted = client.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}})
        job = submitted.raise_for_status().json()["id"]
        eventually(lambda: client.get(f"/v1/jobs/{job}").raise_for_status().json()["done"], 90)

    # a function writes when its invocation ends
    eventually(lambda: {"Requests", "JobsSubmitted", "JobsEnded"} <= names(full_stack), 60)
    told = data(full_stack)
    assert {one.namespace for one in told} == {STACK}
    assert counted(told, "Requests", Endpoint="POST /v1/jobs", StatusClass="2xx") >= 1
    for name in ("JobsSubmitted", "AttemptsStarted"):
        assert counted(told, name, JobType="demo.sleep") >= 1
    assert counted(told, "JobsEnded", JobType="demo.sleep", Outcome="succeeded") >= 1
    assert not any("Tenant" in one.dimensions for one in told)


def data(stack: Stack) -> list[Datum]:
    """What CloudWatch would take from the logs; raises ValidationError for a line that is not valid."""
    lines = stack.log.read_text(errors="replace").splitlines()
    return list(data_of(line[line.index(EMF) :] for line in lines if EMF in line))


def names(stack: Stack) -> set[str]:
    """The names of the metrics."""
    return {one.name for one in data(stack)}


def counted(told: list[Datum], name: str, **dimensions: str) -> float:
    """The sum of a metric."""
    return sum(one.value for one in told if (one.name, one.dimensions) == (name, dimensions))
