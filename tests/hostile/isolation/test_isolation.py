"""No tenant sees, guesses or changes what is another's: every operation, for whatever there is, by anybody."""

from __future__ import annotations

import httpx
import pytest

from coatcheck.core.ids import make_id
from tests.aws.service.running_service import problem
from tests.hostile.isolation.campaign import Campaign
from tests.hostile.isolation.credentials import MISSING_SCOPE, OF_TENANTS, REFUSED
from tests.hostile.isolation.matrix import ANOTHER, Row, foreign
from tests.hostile.isolation.operations import BODIES, NAME_NOTHING, POSITIONS, PUBLIC, REFERENCES
from tests.hostile.isolation.table import PAGE, table
from tests.hostile.isolation.victim import MARKER
from tests.repository import ROOT


def described(rows: list[Row]) -> list[str]:
    return [f"{row.operation.title}, {row.who}, {row.what}: {row.there.status} {row.there.body[:300]}" for row in rows]


def test_every_operation_is_asked_for_whatever_it_can_name(campaign: Campaign) -> None:
    unasked = [
        one.title
        for one in campaign.operations
        if one.path_parameters and not one.for_operators and not foreign(one, campaign.victim.things, {})
    ]
    assert unasked == [], "tests/hostile/isolation/victim.py has nothing for these"
    outside = {(one.id, name) for one in campaign.operations for name in one.parameters if name not in NAME_NOTHING}
    assert outside == POSITIONS | REFERENCES, "tests/hostile/isolation/operations.py has to say what these name"
    assert {one.id for one in campaign.operations if one.has_body} == BODIES.keys()


def test_only_what_is_public_needs_no_credentials(campaign: Campaign) -> None:
    url = campaign.attacker.url
    with httpx.Client(base_url=url, trust_env=False) as nobody:
        answers = {
            one.id: nobody.request(one.method, one.url(dict.fromkeys(one.path_parameters, "job_1")), json=one.body)
            for one in campaign.operations
        }
    assert {name for name, answer in answers.items() if answer.status_code == 200} == PUBLIC
    assert {name for name, answer in answers.items() if answer.status_code == 401} == answers.keys() - PUBLIC


@pytest.mark.parametrize("who", REFUSED)
def test_credentials_that_are_none_are_refused_before_anything_is_read(campaign: Campaign, who: str) -> None:
    rows = [row for row in campaign.rows if row.who == who]
    assert {row.operation.id for row in rows} == {one.id for one in campaign.operations} - PUBLIC
    wrong = [row for row in rows if row.there.status != 401 or row.there.calls or row.leaks]
    assert described(wrong) == []
    assert all(row.there.headers["www-authenticate"].startswith("Bearer ") for row in rows)


@pytest.mark.parametrize("who", OF_TENANTS)
def test_no_tenant_is_let_in_where_operators_are_whatever_its_scopes(campaign: Campaign, who: str) -> None:
    rows = [row for row in campaign.rows if row.who == who]
    assert {row.operation.id for row in rows} == {one.id for one in campaign.operations if one.for_operators}
    assert described([row for row in rows if row.there.status != 401 or row.there.calls or row.leaks]) == []


@pytest.mark.parametrize("who", MISSING_SCOPE)
def test_without_the_scope_nothing_is_read_either(campaign: Campaign, who: str) -> None:
    rows = [row for row in campaign.rows if row.who == who]
    assert {row.operation.id for row in rows} == {
        one.id for one in campaign.operations if one.scope and not one.for_operators
    }
    wrong = [row for row in rows if row.there.status != 403 or row.there.calls or row.leaks]
    assert described(wrong) == []


def test_what_is_anothers_is_as_if_it_never_was(campaign: Campaign) -> None:
    rows = [row for row in campaign.rows if row.who == ANOTHER]
    assert len(rows) >= 90
    wrong = [row for row in rows if row.there.status != 404 or not row.alike or row.leaks]
    assert described(wrong) == []


def test_nothing_of_the_victims_was_changed(campaign: Campaign) -> None:
    assert campaign.before.count(MARKER) >= 15
    assert campaign.after == campaign.before


def test_the_owner_gets_what_others_do_not(campaign: Campaign) -> None:
    """Otherwise the matrix would be full of names that lead nowhere."""
    http = campaign.victim.api.http
    reads = [one for one in campaign.operations if one.method == "GET"]
    cells = [(one, thing) for one in reads for thing in foreign(one, campaign.victim.things, {})]
    answers = {f"{one.title}, {thing.label}": http.get(one.url(thing.names)).status_code for one, thing in cells}
    assert len(answers) >= 40
    assert {name for name, status in answers.items() if status in {401, 403, 404}} == set()


def test_lists_show_what_is_ones_own(campaign: Campaign) -> None:
    http, victim = campaign.attacker.http, campaign.victim
    lists = [
        one for one in campaign.operations if one.method == "GET" and not (one.path_parameters or one.for_operators)
    ]
    texts = {one.id: http.get(one.url({})).text for one in lists}
    assert {"list_jobs", "list_tenant_events", "list_webhook_endpoints"} < texts.keys()
    names = {name for thing in victim.things for name in thing.names.values()}
    assert {
        name for name in names | {MARKER, victim.api.tenant} if any(name in text for text in texts.values())
    } == set()


def test_a_cursor_of_anothers_leads_nowhere(campaign: Campaign) -> None:
    http, own = campaign.attacker.http, campaign.attacker.finished().id
    (delivery,) = (thing.names["delivery_id"] for thing in campaign.victim.things if thing.label == "delivery")
    with_cursor = http.get("/v1/jobs", params={"after": campaign.victim.cursor})
    assert with_cursor.status_code in {200, 422}
    assert MARKER not in with_cursor.text
    answers = [
        http.get(f"/v1/jobs/{own}/deliveries", params={"after": after}).text
        for after in (delivery, make_id("dlv", b"\0" * 16))
    ]
    assert answers[0] == answers[1]


def test_an_upload_of_anothers_is_no_input(campaign: Campaign) -> None:
    uploads = [thing.names["upload_id"] for thing in campaign.victim.things if "upload_id" in thing.names]
    errors = []
    for upload in (*uploads, make_id("upl", b"\0" * 16)):
        submit = {"type": "table.query", "input": {"tables": {"t": {"$upload": upload}}, "sql": "select 1"}}
        answer = campaign.attacker.http.post("/v1/jobs", json=submit)
        reply = problem(answer, 422, "invalid-request")
        errors.append((reply["errors"], sorted(campaign.attacker.spy.operations[-2:])))
    assert len(errors) == 3
    assert "does not exist" in str(errors[0])
    assert all(error == errors[0] for error in errors)


def test_an_idempotency_key_of_anothers_is_new(campaign: Campaign) -> None:
    http, key = campaign.attacker.http, campaign.victim.idempotency_key
    made = http.post("/v1/jobs", json=BODIES["submit"], headers={"Idempotency-Key": key})
    assert made.status_code == 202
    assert "idempotent-replayed" not in made.headers
    assert made.json()["id"] not in campaign.before
    replayed = http.post(f"/v1/jobs/{campaign.attacker.finished().id}/replay", headers={"Idempotency-Key": key})
    problem(replayed, 422, "idempotency-key-reused")


def test_the_table_in_the_documentation_is_that_of_this_run(campaign: Campaign) -> None:
    shown = (ROOT / PAGE).read_text()
    assert table(campaign.operations, campaign.rows) in shown, (
        "python -m tests.hostile.isolation --write makes it again"
    )
