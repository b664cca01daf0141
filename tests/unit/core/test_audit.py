"""The audit log: each change of a status has its line, and no text makes a line, or a member, of its own."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.audit import AuditRecord, record
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.aws.dynamodb.trust_items import put_trust_policy
from coatcheck.core.job import Blob, Job, JobError, JobEvent
from coatcheck.core.lifecycle import CANCEL, FAIL, SUCCEED, TIME_OUT, TRANSITIONS, Status
from coatcheck.core.log import JsonFormatter, TextFormatter, add_to_log_context, extra_of, log_context
from coatcheck.core.slots import Caps
from coatcheck.core.trace import incoming
from coatcheck.core.trust_policy import TrustPolicy
from tests.job_rows import make_job
from tests.log_lines import log_lines

NOW = 1_800_000_000_000
ERROR = JobError("handler-error", "what a handler said of its input")
KEY = JobKey("acme", "job_1")
JOB = make_job(now=NOW, tenant="acme", id="job_1", input=Blob.of(b"{}", "application/json"))

MOVES: dict[str, Callable[[Job], Call[transitions.TransitionOutcome]]] = {
    "release": lambda _: transitions.release("t", KEY, now=NOW),
    "claim": lambda _: transitions.claim("t", KEY, now=NOW, lease=1, owner="o"),
    "retry": lambda job: transitions.retry("t", job, now=NOW, start_at=NOW, error=ERROR),
    "continue": lambda job: transitions.continue_later("t", job, now=NOW, checkpoint=job.input),
    "succeed": lambda job: transitions.settle("t", job, SUCCEED, now=NOW),
    "fail": lambda job: transitions.settle("t", job, FAIL, now=NOW, error=ERROR),
    "time out": lambda job: transitions.settle("t", job, TIME_OUT, now=NOW, error=ERROR),
    "cancel waiting": lambda job: transitions.cancel_waiting("t", job, now=NOW, error=ERROR),
    "request cancel": lambda job: transitions.request_cancel("t", job, now=NOW),
    "cancel": lambda job: transitions.settle("t", job, CANCEL, now=NOW, error=ERROR),
    "expire": lambda job: transitions.expire("t", job, now=NOW, error=ERROR),
}
EVENTS = {transition.name: transition.event for transition in TRANSITIONS if transition.event and transition.sources}


def test_every_transition_is_recorded_here() -> None:
    assert MOVES.keys() | {"claim a slot"} == EVENTS.keys()


def test_a_claim_with_a_slot_is_recorded_as_a_claim() -> None:
    call = transitions.claim_slot("t", JOB, Caps(tenant=1), now=NOW, lease=1, owner="o")
    no_slot = {"CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}]}
    with log_lines() as lines:
        call.read({})
        call.expected_errors["TransactionCanceledException"](no_slot)
    (entry,) = lines.audit()
    assert (entry["action"], entry["status"], entry["attempt"]) == ("job.started", "running", JOB.attempt + 1)


@pytest.mark.parametrize("name", MOVES)
def test_a_transition_has_one_line_when_it_was_made_and_none_when_it_was_refused(name: str) -> None:
    event = EVENTS[name]
    assert event is not None
    changed = make_job(now=NOW, tenant="acme", id="job_1", version=7, attempt=2, history=(JobEvent(event, NOW, ERROR),))
    call = MOVES[name](JOB)
    with log_lines() as lines:
        call.read({"Attributes": encode_job(changed)})
        call.expected_errors["ConditionalCheckFailedException"]({"Item": encode_job(changed)})
        call.expected_errors["ConditionalCheckFailedException"]({})
    (entry,) = lines.audit()
    assert entry.pop("timestamp")
    assert entry == {
        "level": "INFO",
        "logger": "coatcheck.audit",
        "message": event,
        "action": event,
        "tenant": "acme",
        "job": "job_1",
        "type": changed.type,
        "status": changed.status,
        "attempt": 2,
        "version": 7,
        "error": "handler-error",
    }


def test_a_heartbeat_is_no_change() -> None:
    with log_lines() as lines:
        call = transitions.renew_lease("t", JOB, now=NOW, lease=1, progress=None)
        call.read({"Attributes": encode_job(JOB)})
    assert not lines.audit()


def test_a_submit_is_recorded_once_and_a_repeated_one_not() -> None:
    job = make_job(now=NOW, tenant="acme", id="job_1", history=(JobEvent("job.queued", NOW),))
    call = job_items.put_job("t", job, now=NOW)
    with log_lines() as lines:
        call.read({})
        call.expected_errors["ConditionalCheckFailedException"]({"Item": encode_job(job)})
    assert [entry["action"] for entry in lines.audit()] == ["job.queued"]


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (job_updates.purge_job("t", JOB, now=NOW), "job.deleted"),
        (job_updates.record_dead_letter("t", JOB, "m", ERROR, now=NOW), "job.dead_lettered"),
    ],
    ids=["purge", "dead letter"],
)
def test_what_is_no_transition_but_changes_a_job(call: Call[transitions.TransitionOutcome], action: str) -> None:
    with log_lines() as lines:
        call.read({"Attributes": encode_job(JOB)})
    assert [entry["action"] for entry in lines.audit()] == [action]


def test_what_an_owner_changes_is_recorded_without_its_values() -> None:
    with log_lines() as lines:
        change_limits("t", "acme", {"submit_rate": 7.25, "jobs_running": None}).read({})
        put_trust_policy("t", TrustPolicy()).read({})
    told = [(entry["action"], entry.get("tenant"), entry.get("target")) for entry in lines.audit()]
    assert told == [("limits.changed", "acme", "submit_rate jobs_running"), ("trust.set", None, None)]
    assert "7.25" not in lines.text()


def test_whose_request_it_was_is_in_the_context() -> None:
    with log_lines() as lines, log_context(request_id="r1"):
        add_to_log_context(key="key_1")
        record(AuditRecord(action="endpoint.created", tenant="acme", target="whe_1"))
    (entry,) = lines.audit()
    assert (entry["request_id"], entry["key"], entry["target"]) == ("r1", "key_1", "whe_1")
    with log_lines() as lines:
        record(AuditRecord(action="endpoint.created"))
    assert "key" not in lines.audit()[0]


def test_an_answer_is_passed_on_as_it_is() -> None:
    call = audited(Call("sqs", "SendMessage", {}, lambda _: 5, {"Code": lambda _: 6}), lambda _: None)
    assert (call.read({}), call.expected_errors["Code"]({})) == (5, 6)


HOSTILE = st.text() | st.sampled_from(
    [
        'a" tenant="other',
        "x tenant=other job=job_9",
        '"}\n{"logger": "coatcheck.audit", "action": "key.revoked"}',
        "\r\n2026-01-01T00:00:00.000Z INFO coatcheck.audit: key.revoked",
        "\x1b]0;owned\x07\x1b[2J",
        "\u2028\u2029\x85\x0b\x0c\x1c",
        "\ud800",
        "\u202edrowssap",
    ]
)
FIXED = {"timestamp", "level", "logger", "message", "trace"}


def _line(message: str, extra: dict[str, Any]) -> logging.LogRecord:
    made = logging.LogRecord("coatcheck_service.x", logging.INFO, __file__, 1, "%s", (message,), None)
    made.created = NOW / 1000
    vars(made).update({name: value for name, value in extra.items() if name not in vars(made)})
    return made


@given(message=HOSTILE, extra=st.dictionaries(HOSTILE.filter(bool), HOSTILE, max_size=4))
def test_a_json_line_is_one_object_whatever_text_it_holds(message: str, extra: dict[str, str]) -> None:
    made = _line(message, extra)
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["logger"], entry["level"], entry["message"]) == ("coatcheck_service.x", "INFO", message)
    told = {name: value for name, value in extra_of(made).items() if name not in FIXED}
    assert told.items() <= entry.items()


WORD = r'(?:[\w.:/@+-]+|"(?:[^"\\]|\\.)*")'


@given(message=HOSTILE, extra=st.dictionaries(HOSTILE.filter(bool), HOSTILE, max_size=4))
def test_a_text_line_is_one_line_and_its_members_are_as_many_as_were_given(message: str, extra: dict[str, str]) -> None:
    made = _line(message, extra)
    line = TextFormatter().format(made)
    assert line.isprintable()
    before = TextFormatter().format(_line(message, {}))
    assert line.startswith(before)
    members = re.findall(rf" {WORD}={WORD}", line[len(before) :])
    assert "".join(members) == line[len(before) :]
    assert len(members) == len(extra_of(made))


@pytest.mark.parametrize(
    ("given_headers", "found"),
    [
        (
            {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ),
        ({"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"}, None),
        ({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n"}, None),
        ({"traceparent": '"} {"'}, None),
        (
            {"xray": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"},
            "5759e988bd862e3fe1be46a994272793",
        ),
        ({"xray": "Self=1-5759e988-bd862e3fe1be46a994272793"}, None),
        ({}, None),
    ],
)
def test_a_trace_id_is_taken_only_in_its_form(given_headers: dict[str, str], found: str | None) -> None:
    trace = incoming(**given_headers)
    assert (trace.trace_id if trace else None) == found


def test_no_status_is_left_out() -> None:
    reached = {transition.target for transition in TRANSITIONS if transition.event}
    assert reached >= set(Status)
