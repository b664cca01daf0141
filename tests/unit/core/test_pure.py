"""The small pure parts: retry decisions, due times, packing, ids, settings, messages."""

from __future__ import annotations

import json
import math
import zlib
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.authoring.retry import RetryPolicy
from coatcheck.core import due, ids, pack
from coatcheck.core.clock import HOUR, MINUTE, SECOND, rfc3339
from coatcheck.core.messages import BadMessage, DeliveryMessage, JobMessage, NewerMessage
from coatcheck.core.settings import BadSettings, Settings
from coatcheck_worker.runners import ServedType
from coatcheck_worker.supervisor.retry_decision import GiveUp, RetryIn, decide

NOW = 1_800_000_000_000
BACKOFF = ServedType(base=2, cap=60)
ROLLS = st.floats(0, 1, exclude_max=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class TestRetry:
    @given(attempt=st.integers(1, 10_000), roll=ROLLS, base=st.floats(0, 100), cap=st.floats(100, 10_000))
    def test_a_wait_is_never_longer_than_the_cap(self, attempt: int, roll: float, base: float, cap: float) -> None:
        verdict = decide(ServedType(base, cap), attempt=attempt, max_attempts=attempt + 1, roll=roll)
        assert isinstance(verdict, RetryIn)
        assert 0 <= verdict.seconds <= cap

    def test_the_wait_doubles_with_each_attempt(self) -> None:
        backoff = ServedType(base=2, cap=10)
        waits = [decide(backoff, attempt=n, max_attempts=9, roll=0.5) for n in range(1, 6)]
        assert waits == [RetryIn(1), RetryIn(2), RetryIn(4), RetryIn(5), RetryIn(5)]

    @given(attempt=st.integers(1, 200), roll=ROLLS)
    def test_the_last_attempt_is_the_last(self, attempt: int, roll: float) -> None:
        for after in (None, 3):
            verdict = decide(BACKOFF, attempt=attempt, max_attempts=attempt, after=after, roll=roll)
            assert verdict == GiveUp(permanent=False)

    @pytest.mark.parametrize("after", [None, 3])
    def test_what_cannot_succeed_is_not_tried_again(self, after: float | None) -> None:
        verdict = decide(BACKOFF, attempt=1, max_attempts=9, permanent=True, after=after, roll=0)
        assert verdict == GiveUp(permanent=True)

    @pytest.mark.parametrize("after", [0, 3600])
    def test_a_handler_chooses_its_own_wait(self, after: float) -> None:
        assert decide(BACKOFF, attempt=1, max_attempts=2, after=after, roll=0.1) == RetryIn(after)

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(ValueError, match="0 <= base <= cap"):
            RetryPolicy(base=5, cap=1)


class TestDue:
    @given(after=st.integers(0, 400 * 24 * HOUR), dispatches=st.integers(0, 100))
    def test_a_waiting_job_is_looked_at_by_an_hour_and_a_half_after_its_start(
        self, after: int, dispatches: int
    ) -> None:
        due_at = due.for_dispatch(now=NOW, start_at=NOW + after, queue_deadline=None, dispatches=dispatches)
        assert NOW < due_at <= NOW + after + HOUR + 30 * MINUTE

    @given(after=st.integers(0, 400 * 24 * HOUR))
    def test_a_message_is_sent_now_or_the_sweeper_looks_while_a_queue_can_still_wait(self, after: int) -> None:
        start_at = NOW + after
        due_at = due.for_dispatch(now=NOW, start_at=start_at, queue_deadline=None, dispatches=0)
        if due.message_delay(now=NOW, start_at=start_at) is None:
            assert due_at <= start_at
            assert due.message_delay(now=due_at + MINUTE, start_at=start_at) is not None

    @given(after=st.integers(1, due.MAX_MESSAGE_DELAY))
    def test_a_delayed_message_comes_at_its_time_or_up_to_a_second_later(self, after: int) -> None:
        delay = due.message_delay(now=NOW, start_at=NOW + after)
        assert delay is not None
        assert delay <= 900
        assert 0 <= delay * SECOND - after < SECOND

    @given(ttl=st.integers(1, HOUR))
    def test_a_queue_ttl_is_noticed_within_half_a_minute(self, ttl: int) -> None:
        due_at = due.for_dispatch(now=NOW, start_at=None, queue_deadline=NOW + ttl, dispatches=9)
        assert NOW + ttl <= due_at < NOW + ttl + 30 * SECOND

    def test_claiming_at_once_leaves_the_index_entry_as_it_is(self) -> None:
        submitted = due.for_dispatch(now=NOW, start_at=None, queue_deadline=None, dispatches=0)
        assert submitted == due.for_lease(NOW + 50 + 60 * SECOND)

    def test_the_grace_grows_so_that_a_backlog_is_not_flooded(self) -> None:
        grace = [due.for_dispatch(now=NOW, start_at=None, queue_deadline=None, dispatches=n) - NOW for n in (0, 3, 99)]
        assert grace[0] <= MINUTE < grace[1] <= 8 * MINUTE < grace[2] <= 64 * MINUTE


class TestPack:
    @given(JSON)
    def test_json_comes_back_the_same_floats_and_all(self, value: object) -> None:
        assert json.loads(pack.unpack(pack.pack(pack.to_json(value)))) == value

    @given(st.binary())
    def test_packing_never_costs_more_than_a_byte(self, data: bytes) -> None:
        assert len(pack.pack(data)) <= len(data) + 1

    @given(st.dictionaries(st.text(), JSON, max_size=5))
    def test_canonical_json_knows_no_order(self, value: dict[str, object]) -> None:
        backwards = dict(reversed(value.items()))
        assert pack.canonical_json(value) == pack.canonical_json(backwards)

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_what_json_has_not_is_refused(self, number: float) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            pack.to_json([number])

    def test_foreign_bytes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="packed text starts with"):
            pack.unpack(b"?")

    @pytest.mark.parametrize("broken", [b"z", b"zz", b"z" + zlib.compress(b"cut off")[:-1]])
    def test_broken_bytes_are_refused(self, broken: bytes) -> None:
        with pytest.raises(ValueError, match="packed text is damaged"):
            pack.unpack(broken)


class TestIds:
    @given(st.binary(min_size=16, max_size=16))
    def test_an_id_is_short_plain_and_tells_its_kind(self, entropy: bytes) -> None:
        job_id = ids.make_id("job", entropy)
        assert ids.is_id("job", job_id)
        assert not ids.is_id("upl", job_id)
        assert len(job_id) <= 64

    @given(st.text(), st.text(), st.text(), st.text())
    def test_tenant_and_key_decide_the_id(self, tenant: str, key: str, other_tenant: str, other_key: str) -> None:
        same = (tenant, key) == (other_tenant, other_key)
        if "\0" in tenant + other_tenant:  # no tenant's name has one
            return
        try:
            ids_match = ids.job_id_for_key(tenant, key) == ids.job_id_for_key(other_tenant, other_key)
        except UnicodeEncodeError:  # a lone surrogate is in no header
            return
        assert ids_match == same

    def test_the_pattern_of_a_field_names_its_kinds(self) -> None:
        assert ids.id_pattern("upl") == "^upl_[A-Za-z0-9_-]{1,60}$"
        assert ids.id_pattern("job", "whe") == "^(job|whe)_[A-Za-z0-9_-]{1,60}$"

    @pytest.mark.parametrize("text", ["", "job_", "job", "job_a b", "job_é", "upl_x", "job_" + "x" * 61, "job_x\n"])
    def test_what_is_no_id_is_told(self, text: str) -> None:
        assert not ids.is_id("job", text)


class TestDeployment:
    ENV: ClassVar = {
        "COATCHECK_TABLE": "jobs",
        "COATCHECK_BUCKET": "bucket",
        "COATCHECK_QUEUES": '{"default": "http://q", "webhooks": "http://w"}',
        "COATCHECK_DEAD_LETTERS": '{"default": "http://d", "webhooks": "http://wd"}',
        "COATCHECK_WEBHOOK_KEY": "key",
    }

    def test_settings_are_read_from_the_environment(self) -> None:
        settings = Settings.from_env({**self.ENV, "COATCHECK_LEASE": "30", "PATH": "/bin"})
        assert (settings.queues["default"], settings.lease_ms) == ("http://q", 30_000)
        assert (settings.lanes, settings.webhook_targets) == (["default"], "public")

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"COATCHECK_TABLE": ""}, "COATCHECK_TABLE"),
            ({"COATCHECK_QUEUES": "{"}, "COATCHECK_QUEUES"),
            (
                {"COATCHECK_DEAD_LETTERS": '{"heavy": "http://d"}'},
                "COATCHECK_DEAD_LETTERS must name a queue .*: default",
            ),
            (
                {"COATCHECK_QUEUES": '{"default": "http://q"}', "COATCHECK_DEAD_LETTERS": '{"default": "http://d"}'},
                "COATCHECK_QUEUES must name a queue for webhooks",
            ),
            ({"COATCHECK_WEBHOOK_KEY": ""}, "COATCHECK_WEBHOOK_KEY"),
            ({"COATCHECK_WEBHOOK_TARGETS": "all"}, "COATCHECK_WEBHOOK_TARGETS"),
            ({"COATCHECK_WEBHOOK_REFUSED": "a.example, b.example"}, "COATCHECK_WEBHOOK_REFUSED"),
            ({"COATCHECK_LEASE": "soon"}, "COATCHECK_LEASE"),
            ({"COATCHECK_API_KEYS": '{"plain-key": "acme"}'}, "COATCHECK_API_KEYS"),
            ({"COATCHECK_PUBLIC_URL": "https://x/"}, "COATCHECK_PUBLIC_URL"),
        ],
    )
    def test_a_bad_setting_is_named_in_one_line(self, changes: dict[str, str], named: str) -> None:
        with pytest.raises(BadSettings, match=named) as raised:
            Settings.from_env({**self.ENV, **changes})
        assert "\n" not in str(raised.value)
        assert "plain-key" not in str(raised.value)


class TestMessages:
    def test_a_message_of_a_delivery_is_none_of_a_job(self) -> None:
        message = DeliveryMessage(tenant="acme", of="job_1", made=1, delivery="dlv_1", endpoint="whe_1")
        assert DeliveryMessage.parse(message.model_dump_json()) == message
        with pytest.raises(BadMessage):
            JobMessage.parse(message.model_dump_json())

    def test_a_message_comes_back_the_same(self) -> None:
        message = JobMessage(tenant="acme", job="job_1")
        assert JobMessage.parse(message.model_dump_json()) == message

    def test_a_newer_version_may_say_more(self) -> None:
        assert JobMessage.parse('{"v":1,"tenant":"acme","job":"job_1","more":true}').job == "job_1"

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"v":0,"tenant":"a","job":"job_1"}', '{"v":1,"tenant":"a#b"}'])
    def test_what_is_no_message_is_told_without_the_body(self, body: str) -> None:
        with pytest.raises(BadMessage) as raised:
            JobMessage.parse(body)
        assert "a#b" not in str(raised.value)

    def test_a_later_version_is_told_from_what_is_no_message(self) -> None:
        with pytest.raises(NewerMessage, match="version 2"):
            JobMessage.parse('{"v":2,"jobs":[]}')


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_rfc3339_and_sort_as_they_come(at: int) -> None:
    assert rfc3339(at) < rfc3339(at + 1)
    assert rfc3339(at).endswith("Z")
