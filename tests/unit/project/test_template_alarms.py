"""A job type that `failure-alarms` names has an alarm of its own, which hears what the alarm of its lane does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.core.metrics.definitions import METRICS
from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.template import read_template
from tests.alarm_states import Metrics, metrics_of, raised
from tests.metric_lines import NAMESPACE, Datum

NOW = 1_800_000_000_000
MINUTE = 60_000


def alarms(*job_types: str) -> dict[str, dict[str, Any]]:
    config = ProjectConfig.model_validate({"jobs": ["jobs.mail"], "failure-alarms": [*job_types]})
    resources = render_template(read_template(), config)["Resources"]
    return {
        name: one["Properties"]
        for name, one in resources.items()
        if one["Type"] == "AWS::CloudWatch::Alarm" and name.endswith(("JobsFail", "Fails"))
    }


def ended(job_type: str, failed: float, minutes_ago: int) -> Iterator[Datum]:
    """What is told of a job that ended: of its type, and of its lane."""
    for dimensions in ({"JobType": job_type}, {"Lane": "default"}):
        yield Datum(NAMESPACE, "JobsFailed", dimensions, failed, NOW - minutes_ago * MINUTE)


def told(*jobs: Iterator[Datum]) -> set[str]:
    data = [one for job in jobs for one in job]
    ours = {name: one for name, one in alarms("mail.send").items() if name.startswith(("Default", "JobType"))}
    return raised(ours, Metrics(data, NOW, {}))


def test_a_rare_type_that_fails_among_many_that_do_not_is_noticed() -> None:
    many = [ended("mail.read", 0, minutes) for minutes in range(15) for _ in range(20)]
    assert told(*many, *(ended("mail.send", 1, minutes) for minutes in (1, 6, 12))) == {"JobTypeMailSendFails"}
    # two say little, and most succeed
    assert told(*many, *(ended("mail.send", 1, minutes) for minutes in (1, 6))) == set()
    assert told(*many, *(ended("mail.send", minutes == 1, minutes) for minutes in (1, 6, 12))) == set()
    # another type's failures are not its
    assert "JobTypeMailSendFails" not in told(*(ended("mail.read", 1, minutes) for minutes in range(15)))
    assert told() == set()


def test_its_metric_is_one_that_is_told() -> None:
    alarm = alarms("mail.send")["JobTypeMailSendFails"]
    for metric in metrics_of(alarm):
        names = {one["Name"] for one in metric["Dimensions"]}
        assert any(one.name == metric["MetricName"] and names in map(set, one.sets) for one in METRICS)
    assert alarm["AlarmDescription"].endswith("docs/operate.md#jobs-fail")
    assert (alarm["AlarmActions"], alarm["OKActions"]) == (
        alarms()["DefaultJobsFail"]["AlarmActions"],
        alarms()["DefaultJobsFail"]["OKActions"],
    )


def test_without_the_setting_there_are_none() -> None:
    assert not [name for name in alarms() if name.startswith("JobType")]


@pytest.mark.parametrize("twice", [("mail.send", "mail.send"), ("mail.send", "mail_send")])
def test_two_types_with_one_name_are_refused(twice: tuple[str, str]) -> None:
    with pytest.raises(ProjectError, match="needs the name JobTypeMailSendFails in the template, which is taken"):
        alarms(*twice)
