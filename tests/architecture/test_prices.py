"""What docs/deploy.md says of the price of alarms is counted from the template."""

from __future__ import annotations

import re

from coatcheck_infra.template import read_template
from tests.alarm_states import metrics_of
from tests.repository import ROOT

CENTS_A_METRIC = 10
"""A month, for each metric that an alarm hears: https://aws.amazon.com/cloudwatch/pricing/"""


def test_the_alarms_cost_what_the_page_says() -> None:
    alarms = [one for one in read_template()["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    heard = sum(len(metrics_of(alarm["Properties"])) for alarm in alarms)
    page = (ROOT / "docs" / "deploy.md").read_text()
    said = re.search(r"\| alarms, of (\d+) metrics in all \| \$(\d+)\.(\d\d) \|", page)
    assert said
    assert (int(said[1]), 100 * int(said[2]) + int(said[3])) == (heard, CENTS_A_METRIC * heard)
