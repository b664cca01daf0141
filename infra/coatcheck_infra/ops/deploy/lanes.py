"""The lanes and parameters that a project asks for, compared with those of the live stack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.project.config import ProjectConfig
from coatcheck_infra.project.template_lanes import lane_id, lane_of_id

_OF_A_LANE = re.compile(r"(\w+)Lane(Concurrency|Tasks|Environments)")


def project_parameters(config: ProjectConfig) -> dict[str, str]:
    """Return the parameters of the template that the project gives: its doors, its lanes' sizes, those it lists.

    Raises DeployRefused if it gives one twice.
    """
    sizes = {
        f"{lane_id(name)}Lane{size}": str(number)
        for name, lane in config.lanes.items()
        for size, number in lane.parameters.items()
        if number is not None
    }
    doors: dict[str, str] = {
        "FrontDoor": config.api.front_door,
        "Streaming": "on" if config.api.streaming else "off",
    }
    listed = {name: str(value) for name, value in config.deploy.parameters.items()}
    for table, given in (("lanes", sizes), ("api", doors)):
        for name in given.keys() & listed.keys():
            raise DeployRefused(
                f"{name} is in [tool.coatcheck.{table}] and in the parameters of [tool.coatcheck.deploy]: "
                "leave it in one"
            )
    return {**sizes, **doors, **listed}


def lanes_of(parameters: Iterable[str]) -> list[str]:
    """Return the lanes of a stack, of which these are the names of its parameters."""
    return [lane_of_id(found[1]) for name in parameters if (found := _OF_A_LANE.fullmatch(name))]


def lane_warnings(declared: Iterable[str], before: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each lane of the live stack, with the parameters `before`, that the project has no longer."""
    for lane in sorted(set(lanes_of(before)) - set(lanes_of(declared))):
        yield (
            f"Lane {lane} is in the stack and no longer in pyproject.toml: its queues and its functions are deleted. "
            f"Jobs of this lane that wait or run stay, and do not run until a deploy has the lane again."
        )


def override_warnings(options: Mapping[str, str], project: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each parameter that an option sets to something else than the project does."""
    for name, value in options.items():
        if project.get(name, value) != value:
            yield f"{name}={value} is for this deploy alone: pyproject.toml says {project[name]}, as the next one will."
