"""What AWS bills for a submit, by the service and by API Gateway alone: `python -m bench.service_proxy`.

Units are the emulator's count, and dollars are for a million, at list prices (`bench.prices`).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.aws_cost import AwsCost
from bench.prices import PRICES
from coatcheck.authoring.loading import catalog
from coatcheck.core.clock import system_clock
from tests.aws import emulators
from tests.aws.service.proxied_path import ProxiedPath, project_with_proxy, stage_variables
from tests.aws.service.running_service import clients_of, run_service
from tests.aws.service.submits import LETTERS, send
from tests.mapping_templates import mapping_templates
from tests.transports import Fault, change

SHOWN = ("REST API requests", "Lambda requests", "Lambda GB-seconds", "write units", "SQS requests")

API_GB_SECONDS = 0.010 * 1.0
"""Of one submit, reckoned: 10 ms of 1024 MB. `Duration` of a function says what it is."""

DISPATCHER_GB_SECONDS = 0.020 * 0.5
"""Of one batch, reckoned: 20 ms of 512 MB."""

QUEUE_BATCH = 10
"""Messages of a request to SQS, at most."""

BODY = {"type": send.name, "input": {"text": "to be sent"}}


@dataclass(frozen=True)
class MeteredPath(ProxiedPath):
    """A path that counts what DynamoDB bills."""

    write_units: list[float] = field(default_factory=list)

    def dynamodb(self, action: str, request: str) -> tuple[int, str]:
        """Send DynamoDB what API Gateway sends."""
        status, answer = super().dynamodb(
            action, json.dumps({**json.loads(request), "ReturnConsumedCapacity": "TOTAL"})
        )
        assert status == 200, answer
        self.write_units.append(json.loads(answer)["ConsumedCapacity"]["CapacityUnits"])
        return status, answer


def used_by_submits() -> tuple[Counter[str], float]:
    """What a submit by the service uses of DynamoDB and SQS, and the write units of one by API Gateway."""
    ordinary = AwsCost()
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory() as node,
        emulators.ministack(Path(scratch)) as url,
        mapping_templates(Path(node)) as templates,
        run_service(emulators.deployment_on(url), emulators.connect(url), url, catalog=catalog(send)) as running,
        clients_of(running) as api,
    ):
        # limits and webhooks of a tenant are read for many submits
        for faults in ([], [Fault(change(ordinary.record))]):
            api.spy.faults[:] = faults
            assert api.http.post("/v1/jobs", json=BODY).status_code == 202
        variables = stage_variables(running.settings, running.url)
        path = MeteredPath(project_with_proxy(LETTERS), LETTERS, templates, url, variables, system_clock)
        verdict = {"tenant": api.tenant, "proxy": "yes"}
        headers = {"Content-Type": "application/json"}
        assert path.post(json.dumps(BODY).encode(), headers, verdict, request_id="one").status == 202
    return ordinary.used, path.write_units[0]


def ways() -> Mapping[str, Mapping[str, float]]:
    """What a submit uses, each way; by API Gateway, for as many rows in a batch of the stream."""
    ordinary, write_units = used_by_submits()
    service = {"REST API requests": 1, "Lambda requests": 1, "Lambda GB-seconds": API_GB_SECONDS, **ordinary}
    proxied = {
        f"service proxy, {rows} in a batch": {
            "REST API requests": 1,
            "Lambda requests": 1 / rows,
            "Lambda GB-seconds": DISPATCHER_GB_SECONDS / rows,
            "write units": write_units,
            "SQS requests": 1 / min(rows, QUEUE_BATCH),
        }
        for rows in (1, 10, 100)
    }
    return {"service": service, **proxied}


def main() -> None:
    """Measure and print."""
    write = sys.stdout.write
    write(f"{'':32}" + "".join(f"{name:>19}" for name in SHOWN) + f"{'$ a million':>14}\n")
    for way, used in ways().items():
        dollars = sum(PRICES[name].dollars * amount for name, amount in used.items())
        write(f"{way:32}" + "".join(f"{used.get(name, 0):19g}" for name in SHOWN) + f"{dollars:14.2f}\n")


if __name__ == "__main__":
    main()
