"""The alarms of single job types in the template, for those that `failure-alarms` names."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from coatcheck_infra.project.config import ProjectError

Json = dict[str, Any]

PATTERN = "DefaultJobsFail"
"""The alarm of a lane that those of job types are made after."""

PERIOD = 900
FEWEST_JOBS = 3
"""A type may be rare: so it is judged by fewer jobs than a lane, in a longer time (docs/adr/0159)."""


def render_failure_alarms(template: Json, job_types: Sequence[str]) -> Json:
    """Return `template`, changed, with an alarm for each of `job_types`. Raises ProjectError if two have one name."""
    for job_type in job_types:
        name = alarm_name(job_type)
        if name in template["Resources"]:
            raise ProjectError(
                f"tool.coatcheck.failure-alarms: {job_type} needs the name {name} in the template, which is taken: "
                "name each job type once, and leave out one of two that differ in dots and underscores alone"
            )
        template["Resources"][name] = _alarm(template["Resources"][PATTERN], job_type)
    return template


def alarm_name(job_type: str) -> str:
    """Return the name of the alarm of a job type in the template: `mail.send` has `JobTypeMailSendFails`."""
    return "".join(["JobType", *(part.capitalize() for part in re.split(r"[._]", job_type)), "Fails"])


def _alarm(of_lane: Json, job_type: str) -> Json:
    alarm = copy.deepcopy(of_lane)
    properties = alarm["Properties"]
    properties |= {
        "AlarmDescription": f"Of {FEWEST_JOBS} and more jobs of type {job_type} in a quarter of an hour, half and more "
        "failed. docs/operate.md#jobs-fail",
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
    }
    share, *metrics = properties["Metrics"]
    share["Expression"] = f"IF(FILL(ended, 0) >= {FEWEST_JOBS}, 100 * failed / ended, 0)"
    for metric in metrics:
        metric["MetricStat"]["Metric"]["Dimensions"] = [{"Name": "JobType", "Value": job_type}]
        metric["MetricStat"]["Period"] = PERIOD
    return alarm
