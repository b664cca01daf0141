"""What `make bench` measures: each bench, and the rows of docs/performance.md that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench import (
    bill,
    client_transfers,
    cold_start,
    queue_peers,
    s3_upload,
    service_requests,
    submit_to_done,
    transports,
    worker_instructions,
)
from bench.bill_job import result
from bench.bill_usage import count_job
from bench.lambda_invocations import measure as measure_invocations
from bench.transfer_methods import CHUNK, Measurement

SIZE, ROUNDS = 256 * CHUNK, 5
"""Of the transfers: bytes, and how often each way."""

JOBS = 200
"""That are submitted one after the other."""

Pair = tuple[float, float]
"""Our figure, and the one beside it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what is measured, in which unit, and whom it stands beside. `more` is better, or less."""

    what: str
    unit: str
    peer: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """`measure` gives a pair for each of `rows`, in their order; `command` does the same by hand."""

    command: str
    rows: Sequence[Row]
    measure: Callable[[], Sequence[Pair]]


def _transport(call: str) -> Sequence[Pair]:
    counts = transports.measure(call)
    ours = [name for name, sdk in transports.SDKS.items() if name != sdk]
    return [(counts[name] / 1e6, counts[transports.SDKS[name]] / 1e6) for name in ours]


def _request(door: str, method: str) -> Sequence[Pair]:
    counts = service_requests.measure(door, method)
    return [(counts["coatcheck"] / 1e6, counts["by hand"] / 1e6)]


def _start(name: str) -> Sequence[Pair]:
    ours, beside = cold_start.measure(name)
    return [(ours / 1e6, beside / 1e6)]


def _jobs(peer: str) -> Sequence[Pair]:
    ours, beside = queue_peers.ours(queue_peers.RUNNERS[peer]), queue_peers.PEERS[peer]()
    return [(ours.cpu, beside.cpu), (ours.jobs, beside.jobs)]


def _job_instructions() -> Sequence[Pair]:
    found = worker_instructions.compare()
    return [(found.ours / 1e6, found.by_hand.instructions / 1e6), (found.ours / 1e6, found.arq / 1e6)]


def _submit_to_done() -> Sequence[Pair]:
    taken = submit_to_done.measure(JOBS)
    ours, beside = taken["coatcheck"], taken["by hand"]
    return [(ours.p50, beside.p50), (ours.p99, beside.p99)]


def _transfer(kind: str) -> Sequence[Pair]:
    return _of(*client_transfers.compare(kind, SIZE, ROUNDS))


def _result() -> Sequence[Pair]:
    taken = s3_upload.compare("null", SIZE, ROUNDS)
    return _of(taken[s3_upload.SINK], taken[s3_upload.BOTO3])


def _of(ours: Measurement, beside: Measurement) -> Sequence[Pair]:
    return [
        (ours.rate, beside.rate),
        (ours.cpu_per_gb, beside.cpu_per_gb),
        (ours.peak, beside.peak),
    ]


def _bill() -> Sequence[Pair]:
    counted, measured = count_job(), measure_invocations(result.name, "bench.bill_job")
    doors, others = bill.front_doors(counted, measured), bill.alternatives(counted, measured)
    pairs = [
        ("function URL", "naive, function URL"),
        ("function URL", "durable functions, function URL"),
        ("REST API", "naive, REST API"),
        ("REST API", "Step Functions Standard, REST API"),
    ]
    return [(doors[ours].dollars(1), others[beside].dollars(1)) for ours, beside in pairs]


def _moved(what: str, peer: str, memory: str) -> tuple[Row, ...]:
    return (
        Row(what, "MB/s", peer, more=True),
        Row(f"{what}, CPU", "s a GB", peer),
        Row(f"{what}, {memory}", "MB", peer),
    )


def _at_a_time(jobs: int) -> str:
    return "one at a time" if jobs == 1 else f"{jobs} at a time"


INSTRUCTIONS = "M instructions"
_JOB = "a job with a 20 KB result, three looks and a webhook"

_START_PEERS = {"API": "FastAPI, Mangum and boto3", "worker": "two boto3 clients"}

BENCHES: Mapping[str, Bench] = {
    **{
        call: Bench(
            f"bench.transports --call {call}",
            (Row(f"{call} in the worker", INSTRUCTIONS, "boto3"), Row(f"{call} in the API", INSTRUCTIONS, "aioboto3")),
            partial(_transport, call),
        )
        for call in transports.CALLS
    },
    **{
        f"{door}-{method}": Bench(
            f"bench.service_requests --door {door} --method {method}",
            (Row(f"a {what}, {where}", INSTRUCTIONS, f"FastAPI and boto3, {where}"),),
            partial(_request, door, method),
        )
        for door, where in (("lambda", "in Lambda"), ("uvicorn", "under uvicorn"))
        for method, what in (("GET", "look at a job"), ("POST", "submit"))
    },
    **{
        f"start: {name}": Bench(
            "bench.cold_start",
            (Row(f"start: {name}", INSTRUCTIONS, _START_PEERS[name.split()[0]]),),
            partial(_start, name),
        )
        for name in cold_start.STARTS
    },
    "job": Bench(
        "bench.worker_instructions",
        tuple(Row("a no-op job in the worker", INSTRUCTIONS, peer) for peer in ("boto3 by hand", "arq on Redis")),
        _job_instructions,
    ),
    "submit to done": Bench(
        "bench.submit_to_done",
        tuple(Row(f"a no-op job, from submit to done, {part}", "ms", "boto3 by hand") for part in ("p50", "p99")),
        _submit_to_done,
    ),
    **{
        f"jobs-{number}": Bench(
            f"bench.queue_peers --peer '{peer}'",
            (
                Row("a no-op job in the worker, CPU", "ms", peer),
                Row(f"no-op jobs, {_at_a_time(queue_peers.RUNNERS[peer])}", "jobs/s", peer, more=True),
            ),
            partial(_jobs, peer),
        )
        for number, peer in enumerate(queue_peers.PEERS)
    },
    **{
        kind: Bench(
            f"bench.client_transfers --kind {kind}",
            _moved(f"{kind} by the client", peer, "memory"),
            partial(_transfer, kind),
        )
        for kind, (_, peer) in client_transfers.KINDS.items()
    },
    "result": Bench(
        "bench.s3_upload", _moved("a worker's result", "boto3.upload_fileobj", "memory of the process"), _result
    ),
    "bill": Bench(
        "bench.bill",
        tuple(
            Row(f"a million of {_JOB}, by {door}", "$", f"{peer}, {door}")
            for door, peer in (
                ("function URL", "naive"),
                ("function URL", "durable functions"),
                ("REST API", "naive"),
                ("REST API", "Step Functions Standard"),
            )
        ),
        _bill,
    ),
}
