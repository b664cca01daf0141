"""A lane of a project: `[tool.coatcheck.lanes]`, and what each kind of machine has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field, model_validator

from coatcheck_infra.project.toml_table import TomlTable

MAX_FUNCTION_MEMORY = 10_240
MIN_FUNCTION_CONCURRENCY = 2
"""What an event source mapping of SQS takes as its maximum concurrency, at least."""

DEFAULT_CPU, DEFAULT_TASKS = 1.0, 2
FARGATE_MEMORY = {
    0.25: (512, 2048, 512),
    0.5: (1024, 4096, 1024),
    1.0: (2048, 8192, 1024),
    2.0: (4096, 16_384, 1024),
    4.0: (8192, 30_720, 1024),
    8.0: (16_384, 61_440, 4096),
    16.0: (32_768, 122_880, 8192),
}
"""MB of memory by CPUs: the least, the most, and the step.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
"""

MANAGED_GB_PER_CPU = (2, 4, 8)
"""https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-capacityproviderconfig.html"""

MANAGED_MOST_MEMORY, MANAGED_MOST_CPUS = 32_768, 16
"""What CloudFormation takes as `MemorySize` of a function, and the CPUs that this is enough for."""

SECONDS = {"lambda": 900, "lambda-managed": 5400}
"""How long a function may run, by the kind of its lane. A container has no limit.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html, `Timeout`.
"""


class Lane(TomlTable):
    """A queue and the Lambda functions, or the containers, that work it off."""

    kind: Literal["lambda", "lambda-managed", "container"] = Field(default="lambda", description="what runs its jobs")
    memory: int | None = Field(
        default=None, ge=256, le=122_880, description="MB for a job; 1769 is one CPU of a function"
    )
    cpu: float | None = Field(default=None, description="CPUs for a job, unless of a plain function")
    concurrency: int | None = Field(default=None, ge=1, le=1000, description="jobs that run at the same time, at most")
    ready: int | None = Field(
        default=None, ge=0, le=1000, description="containers or environments that run even when no job waits"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Lane:
        if problem := PROBLEMS[self.kind](self):
            raise ValueError(problem)
        return self

    @property
    def parameters(self) -> Mapping[str, int | None]:
        """The parameters of the template that the lane sets, by how their names end."""
        if self.kind == "container":
            return {"Tasks": self.concurrency, "ReadyTasks": self.ready}
        if self.kind == "lambda-managed":
            return {"Environments": self.concurrency, "ReadyEnvironments": self.ready}
        return {"Memory": self.memory, "Concurrency": self.concurrency}

    @property
    def size(self) -> tuple[float, int]:
        """The CPUs and MB for a job, in a container or on a managed instance."""
        cpu = self.cpu or DEFAULT_CPU
        least = FARGATE_MEMORY[cpu][0] if self.kind == "container" else int(cpu * MANAGED_GB_PER_CPU[0] * 1024)
        return cpu, self.memory or least


def function_problem(lane: Lane) -> str | None:
    """Return why Lambda cannot run the lane, or None."""
    for key in ("cpu", "ready"):
        if getattr(lane, key) is not None:
            return f'{key} is for lanes of kind = "container" or "lambda-managed"'
    if lane.memory is not None and lane.memory > MAX_FUNCTION_MEMORY:
        return f'memory: a function has {MAX_FUNCTION_MEMORY} MB at most; kind = "container" has more'
    if lane.concurrency is not None and lane.concurrency < MIN_FUNCTION_CONCURRENCY:
        return f"concurrency: Lambda runs {MIN_FUNCTION_CONCURRENCY} or more"
    return None


def container_problem(lane: Lane) -> str | None:
    """Return why Fargate has no such container, or None."""
    if (lane.cpu or DEFAULT_CPU) not in FARGATE_MEMORY:
        return f"cpu: Fargate has {', '.join(f'{one:g}' for one in FARGATE_MEMORY)}"
    cpu, memory = lane.size
    least, most, step = FARGATE_MEMORY[cpu]
    fits = (memory - least) % step == 0 and (cpu, memory) != (0.25, 1536)
    if not least <= memory <= most or not fits:
        return f"memory: with {cpu:g} CPUs, Fargate has {least} to {most} MB, in steps of {step}"
    if (lane.ready or 0) > (lane.concurrency or DEFAULT_TASKS):
        return "ready is more than concurrency"
    return None


def managed_problem(lane: Lane) -> str | None:
    """Return why there is no such environment on a managed instance, or None."""
    cpu, memory = lane.size
    if cpu != int(cpu) or not 1 <= cpu <= MANAGED_MOST_CPUS:
        return f"cpu: a managed instance has 1 to {MANAGED_MOST_CPUS} whole CPUs for a job"
    possible = [int(cpu * gigabytes * 1024) for gigabytes in MANAGED_GB_PER_CPU]
    possible = [one for one in possible if one <= MANAGED_MOST_MEMORY]
    if memory not in possible:
        return f"memory: with {cpu:g} CPUs, a managed instance has {' or '.join(map(str, possible))}"
    if lane.concurrency is not None and lane.concurrency < MIN_FUNCTION_CONCURRENCY:
        return f"concurrency: Lambda runs {MIN_FUNCTION_CONCURRENCY} or more"
    if lane.ready is not None and not 1 <= lane.ready <= (lane.concurrency or DEFAULT_TASKS):
        return (
            "ready is 1 or more, since managed instances do not start when a job comes, and not more than concurrency"
        )
    return None


PROBLEMS: Mapping[str, Callable[[Lane], str | None]] = {
    "lambda": function_problem,
    "lambda-managed": managed_problem,
    "container": container_problem,
}
"""What says why there is no such lane, by its kind."""
