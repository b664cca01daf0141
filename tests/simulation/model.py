"""AWS in memory, at the door: the small part of it that the kernel's calls use. `test_model` holds it to emulators."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import Call, error_from
from coatcheck.core.job import Job
from tests.simulation.dynamodb import Refusal, Table
from tests.simulation.nondeterminism import Nondeterminism
from tests.simulation.s3 import Bucket, Stored
from tests.simulation.sqs import Queues

T = TypeVar("T")

SECRET = "k" * 32


class Model:
    """One account, with one secret. `nondeterminism` is what AWS makes of what it may do."""

    def __init__(self, *, chance: random.Random | None = None, nondeterminism: Nondeterminism | None = None) -> None:
        self.table = Table(nondeterminism)
        self.queues = Queues(chance, nondeterminism)
        self.bucket = Bucket(nondeterminism)

    def carry_out(self, call: Call[T], now: int) -> T:
        """Do what the call asks for at the time `now`, and read the answer. Raises AwsError as a door does."""
        try:
            return call.read(self._answer(call, now))
        except Refusal as refusal:
            read = call.expected_errors.get(refusal.response["Error"]["Code"])
            if read is not None:
                return read(refusal.response)
            raise error_from(call, refusal.response) from refusal

    def _answer(self, call: Call[Any], now: int) -> Any:
        match call.service:
            case "dynamodb":
                return self.table.answer(call.operation, call.params, now)
            case "sqs":
                return self.queues.answer(call.operation, call.params, now)
            case "s3":
                return self.bucket.answer(call.operation, call.params)
            case "secretsmanager":
                return {"SecretString": SECRET}


class ModelTransport:
    """A door to the model alone: no faults, and time as `clock` tells it (milliseconds)."""

    def __init__(self, model: Model, clock: Callable[[], int]) -> None:
        self._model, self._clock = model, clock

    def send(self, call: Call[T]) -> T:
        """Carry out `call`. Raises AwsRefused."""
        return self._model.carry_out(call, self._clock())


def objects_of(job: Job, model: Model) -> dict[str, Stored]:
    """What lies in the bucket of a job, and not of another with its id."""
    prefixes = tuple(f"{prefix}{job.created_at:013d}/" for prefix in s3_keys.job_prefixes(job.tenant, job.id))
    return {key: stored for key, stored in model.bucket.objects.items() if key.startswith(prefixes)}
