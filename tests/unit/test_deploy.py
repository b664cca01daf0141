"""What `make deploy` works out before anything is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.ops.deploy.__main__ import describe_plan, sam
from coatcheck_infra.ops.deploy.account_limits import Account, concurrency_warnings
from coatcheck_infra.ops.deploy.plan import Change, DeployRefused, LiveStack, make_plan, parse_parameters, warnings
from coatcheck_infra.template import read_template

KEYS = json.dumps({"ab" * 32: "one", "cd" * 32: "two"})
TOPIC = "arn:aws:sns:eu-west-1:1:alarms"
DECLARED: dict[str, Any] = read_template()["Parameters"]
DEFAULTS = {name: str(one["Default"]) for name, one in DECLARED.items()}


def live(**values: str) -> LiveStack:
    return LiveStack("UPDATE_COMPLETE", {**DEFAULTS, "ApiKeys": KEYS, "AlarmTopicArn": TOPIC, **values})


def test_what_the_live_stack_has_stays_unless_it_is_asked_for() -> None:
    there = live(MaxRetentionDays="365", DefaultLaneConcurrency="20")
    assert make_plan(DECLARED, there, {}).changes == []

    plan = make_plan(DECLARED, there, {"DefaultLaneConcurrency": "40"})
    assert plan.changes == [Change("DefaultLaneConcurrency", "20", "40")]
    assert (plan.values["ApiKeys"], plan.values["MaxRetentionDays"]) == (KEYS, "365")
    # the SAM CLI keeps what it is not told
    overrides = sam("s", "eu-west-1", {"DefaultLaneConcurrency": "40"}, Path("c"))
    assert overrides[overrides.index("--parameter-overrides") + 1 :] == ['DefaultLaneConcurrency="40"']
    assert "--parameter-overrides" not in sam("s", "eu-west-1", {}, Path("c"))


def test_a_parameter_that_the_live_stack_does_not_know_yet_gets_its_default() -> None:
    there = live()
    older = LiveStack(there.status, {name: value for name, value in there.parameters.items() if name != "SnapStart"})
    assert make_plan(DECLARED, older, {}).changes == [Change("SnapStart", None, "on")]


def test_values_with_spaces_and_quotes_reach_the_sam_cli_as_they_are() -> None:
    asked = parse_parameters([f"ApiKeys={KEYS}  AlarmTopicArn={TOPIC}", "SnapStart=off", ""])
    assert asked == {"ApiKeys": KEYS, "AlarmTopicArn": TOPIC, "SnapStart": "off"}
    quoted = KEYS.replace('"', '\\"')
    assert f'ApiKeys="{quoted}"' in sam("s", "eu-west-1", asked, Path("c"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"ApiKey": "{}"}, r"unknown parameter `ApiKey`; did you mean `ApiKeys`\?"),
        ({"ExistingTable": "another"}, "ExistingTable can only be set on a new stack"),
        ({"ApiKeys": "secret"}, "ApiKeys=secret: .*sha256-hex of the key"),
        ({"AlarmTopicArn": "alarms"}, "AlarmTopicArn=alarms: does not match"),
        ({"MaxRetentionDays": "31"}, "MaxRetentionDays=31: must be one of 1, 3"),
        ({"HeavyLaneConcurrency": "1"}, "HeavyLaneConcurrency=1: must be a number from 2 to 1000"),
        ({"HeavyLaneConcurrency": "many"}, "must be a number"),
        ({"DefaultRetentionDays": "90"}, "more than MaxRetentionDays"),
    ],
)
def test_what_must_not_be_is_refused(asked: dict[str, str], said: str) -> None:
    with pytest.raises(DeployRefused, match=said):
        make_plan(DECLARED, live(), asked)


def test_a_new_stack_may_be_given_what_an_earlier_one_left() -> None:
    assert make_plan(DECLARED, None, {"ExistingTable": "kept"}).values["ExistingTable"] == "kept"


def test_what_is_not_an_assignment_is_refused() -> None:
    with pytest.raises(DeployRefused, match="'ApiKeys' must have the form Name=value"):
        parse_parameters(["ApiKeys"])


@pytest.mark.parametrize(
    ("current", "asked", "warned"),
    [
        (live(), {}, []),
        (live(AlarmTopicArn=""), {}, ["AlarmTopicArn is empty"]),
        (None, {}, ["AlarmTopicArn is empty", "ApiKeys is empty"]),
        (live(), {"ApiKeys": "{}"}, ["ApiKeys is empty", "2 of 2 keys"]),
        (live(), {"ApiKeys": json.dumps({"ab" * 32: "one"})}, ["1 of 2 keys"]),
        (live(), {"MaxRetentionDays": "7"}, ["MaxRetentionDays goes from 30 to 7"]),
        (live(), {"MaxRetentionDays": "90"}, []),
    ],
)
def test_what_is_easily_overlooked_is_said(current: LiveStack | None, asked: dict[str, str], warned: list[str]) -> None:
    told = list(warnings(make_plan(DECLARED, current, asked)))
    assert len(told) == len(warned)
    assert all(start in line for start, line in zip(warned, told, strict=True)), told


NEW, BIG = Account(limit=10, unreserved=10), Account(limit=1000, unreserved=1000)


@pytest.mark.parametrize(
    ("account", "values", "said"),
    [
        (NEW, {}, None),
        (NEW, {"DefaultLaneConcurrency": "20"}, "Set DefaultLaneConcurrency=3, or ask"),
        (
            NEW,
            {"DefaultLaneConcurrency": "20", "HeavyLaneConcurrency": "5", "WebhookConcurrency": "5"},
            "Set DefaultLaneConcurrency=3 HeavyLaneConcurrency=2 WebhookConcurrency=2, or ask",
        ),
        (Account(limit=8, unreserved=8), {}, "too few for any setting"),
        (NEW, {"SweeperReservedConcurrency": "1"}, "1 cannot be reserved: this account runs 10 at once"),
        (
            BIG,
            {"DefaultLaneConcurrency": "20", "ApiReservedConcurrency": "20", "SweeperReservedConcurrency": "2"},
            None,
        ),
        (BIG, {"ApiReservedConcurrency": "901"}, "901 cannot be reserved"),
    ],
)
def test_the_lanes_have_to_fit_the_account(account: Account, values: dict[str, str], said: str | None) -> None:
    told = list(concurrency_warnings(account, DEFAULTS | values, {}))
    assert bool(told) is (said is not None)
    assert said is None or said in " ".join(told)


def test_what_is_set_as_advised_fits() -> None:
    for limit in range(9, 200):
        values: Mapping[str, str] = DEFAULTS | dict.fromkeys(("DefaultLaneConcurrency", "HeavyLaneConcurrency"), "100")
        told = " ".join(concurrency_warnings(Account(limit, limit), values, {}))
        advised = parse_parameters([told.partition("Set ")[2].partition(", or ask")[0]])
        assert not list(concurrency_warnings(Account(limit, limit), {**values, **advised}, {})), (limit, told)


def test_what_the_stack_reserves_already_is_free_for_it() -> None:
    reserved = DEFAULTS | {"ApiReservedConcurrency": "100"}
    assert not list(concurrency_warnings(Account(limit=250, unreserved=150), reserved, reserved))


def test_the_change_is_shown_with_what_is_wrong_with_it() -> None:
    plan = make_plan(DECLARED, live(AlarmTopicArn=""), {"DefaultLaneConcurrency": "20"})
    lines = describe_plan("coatcheck", "eu-west-1", plan, NEW)
    assert lines[:3] == [
        "Stack coatcheck in eu-west-1: exists (UPDATE_COMPLETE).",
        "  DefaultLaneConcurrency: 3 → 20",
        f"  {len(DECLARED) - 1} parameters stay as they are.",
    ]
    assert [line.split()[:2] for line in lines[3:]] == [["Warning:", "AlarmTopicArn"], ["Warning:", "The"]]
    assert "not checked" in describe_plan("coatcheck", "eu-west-1", plan, None)[-1]
