"""Dead letters on real queues: what an owner is shown, and what a redrive does with each kind of them."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from coatcheck.calls import AwsUnavailable, Call
from coatcheck.client.errors import InvalidArgumentError
from coatcheck.clock import HOUR, SECOND
from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.lifecycle import Status
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import Received, put_aside, receive, show_again_in
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.webhooks import put_delivery
from coatcheck.webhooks import Delivery, DeliveryKey, DeliveryStatus
from infra.dead_letters.letters import SKEW, Timing
from infra.dead_letters.place import Place, find
from infra.dead_letters.program import document, letters_of, row
from infra.dead_letters.redrive import Order, Redrive
from infra.embedded import environment
from infra.embedded.stack import STACK, client
from tests.aws.worker.doors import Counting, Died, Mortal, Refusing
from tests.aws.worker.world import World
from tests.journeys.running import eventually
from worker.aws import Aws, Boto
from worker.tools import system_clock

T = TypeVar("T")

OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"
AT_ONCE = Timing(pause=lambda _: None, patience=0)


@dataclass
class Post:
    """A lane of a test's own, and what is put into its queues."""

    place: Place
    world: World
    sqs: Any

    @property
    def lanes(self) -> dict[str, str]:
        return self.place.deployment.dead_letters

    def put(self, body: str, reason: str = "tried", lane: str = "default") -> None:
        self.place.aws.send(put_aside(self.lanes[lane], body, reason))

    def submit_done(self, **changes: Any) -> Job:
        """A job that has succeeded, and a dead letter of the webhooks that is about it."""
        job = self.world.submit(status=Status.SUCCEEDED, attempt=1, due_at=None, **changes)
        self.put(message_of(job), lane=WEBHOOKS)
        return job

    def put_job(self, status: Status = Status.QUEUED, **changes: Any) -> Job:
        job = self.world.submit(status=status, due_at=None, **changes)
        self.put(message_of(job))
        return job

    def put_delivery(self, job: Job, status: DeliveryStatus = DeliveryStatus.PENDING) -> DeliveryMessage:
        """A delivery of an event of the job, and a dead letter that is about it."""
        key = DeliveryKey(job.tenant, job.id, job.created_at, f"dlv_{secrets.token_hex(8)}")
        delivery = Delivery(
            key, "evt_1", "job.succeeded", "whe_1", "https://example.com", b"{}", 1, 2 * 10**12, status=status, tries=3
        )
        self.place.aws.send(put_delivery(self.place.deployment.table, delivery))
        return self.put_delivery_message(key)

    def put_delivery_message(self, key: DeliveryKey) -> DeliveryMessage:
        message = DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint="whe_1")
        self.put(message.model_dump_json(), lane=WEBHOOKS)
        return message

    def redrive(self, door: Aws | None = None, timing: Timing = AT_ONCE, **asked: Any) -> str:
        run = Redrive(replace(self.place, aws=door or self.place.aws), Order(**asked), timing)
        run.go_through(self.lanes)
        return run.summary()

    def listed(self) -> list[dict[str, Any]]:
        return [document(letter) for letter in letters_of(self.place, self.lanes, AT_ONCE)]

    def queued(self, lane: str = "default") -> list[str]:
        """The bodies in the lane's queue, as any worker receives them now."""
        return [one.body for one in self._all(self.place.deployment.queues[lane])]

    def left(self, lane: str = "default") -> list[str]:
        """The bodies in the dead letters, as anybody receives them now."""
        return [one.body for one in self._all(self.lanes[lane])]

    def counts(self) -> tuple[int, int]:
        """How many dead letters are to be had, and how many somebody holds."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        told = self.sqs.get_queue_attributes(QueueUrl=self.lanes["default"], AttributeNames=names)["Attributes"]
        free, held = (int(told[name]) for name in names)
        return free, held

    def _all(self, url: str) -> Sequence[Received]:
        found: list[Received] = []
        while batch := self.place.aws.send(receive(url, wait=0, limit=10, hold=60)):
            found += batch
        for one in found:
            self.place.aws.send(show_again_in(one, 0))
        return found


def message_of(job: Job) -> str:
    return JobMessage(tenant=job.tenant, job=job.id).model_dump_json()


@pytest.fixture
def post(aws: Boto, deployment: Deployment, emulator_url: str, tenant: str) -> Post:
    sqs, name = client("sqs", emulator_url), secrets.token_hex(6)
    queues, dead_letters = (
        {lane: sqs.create_queue(QueueName=f"{name}-{lane}-{kind}")["QueueUrl"] for lane in ("default", WEBHOOKS)}
        for kind in ("queue", "dead")
    )
    own = deployment.model_copy(update={"queues": queues, "dead_letters": dead_letters})
    return Post(Place(aws, own), World(aws, own, tenant), sqs)


@pytest.fixture
def shell(emulator_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of an owner whose AWS is the emulator."""
    kept = environment.of_parts(os.environ, tmp_path, emulator_url)
    for name in os.environ.keys() - kept.keys():
        monkeypatch.delenv(name)
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    return kept


def make_newer(post: Post, job: Job) -> None:
    """Let the row look as a newer version of the service writes it."""
    put = items.put_job(post.place.deployment.table, job, now=0)
    newer = {**put.params["Item"], "status": {"S": "pondering"}}
    post.place.aws.send(Call("dynamodb", "PutItem", {"TableName": put.params["TableName"], "Item": newer}, read=str))


class TestList:
    def test_each_kind_is_shown_with_what_its_row_says(self, post: Post) -> None:
        waiting, running = post.put_job(), post.put_job(Status.RUNNING, attempt=2)
        finished, newer = post.put_job(Status.SUCCEEDED, attempt=1), post.put_job()
        make_newer(post, newer)
        post.put('{"v": 1, "tenant": "t", "job": "job_x"}', "it names no job")
        post.put('{"v": 2, "tenant": "t"}')
        post.put("not JSON", "cannot be read: body")

        shown = {(one["job"], one["status"]): one for one in post.listed()}
        assert {known: one["attempt"] for known, one in shown.items()} == {
            (waiting.id, "queued"): 0,
            (running.id, "running"): 2,
            (finished.id, "succeeded"): 1,
            (newer.id, "newer version"): None,
            ("job_x", "not there"): None,
            (None, "newer message"): None,
            (None, "cannot be read"): None,
        }
        assert shown["job_x", "not there"]["reason"] == "it names no job"
        assert shown[waiting.id, "queued"]["tenant"] == waiting.tenant
        assert shown[None, "cannot be read"]["reason"] == "cannot be read: body"

    def test_the_body_is_shown_only_of_what_cannot_be_read_and_its_beginning_only(self, post: Post) -> None:
        post.put("é\n" + "x" * 300)
        post.put_job()
        bodies = [one.get("body") for one in post.listed()]
        assert sorted(map(str, bodies)) == ["None", "é" + "x" * 199]

    def test_a_row_of_the_table(self, post: Post) -> None:
        job = post.put_job(attempt=1)
        (letter,) = letters_of(post.place, post.lanes, AT_ONCE)
        sent = letter.received.sent_at
        assert abs(sent - system_clock()) < 60 * SECOND
        shown = row(letter, sent + 3 * HOUR)
        assert shown[0] == "default"
        assert shown[2:] == ["3 h", 1, job.id, job.tenant, "queued", 1, "tried"]

    def test_nothing_is_hidden_or_gone_afterwards(self, post: Post) -> None:
        for n in range(12):
            post.put(f"garbage {n}")
        assert len(post.listed()) == 12
        assert len(post.left()) == 12
        assert post.queued() == []

    def test_reading_broken_off_hides_nothing(self, post: Post) -> None:
        for n in range(3):
            post.put(f"garbage {n}")
        letters = letters_of(post.place, post.lanes, AT_ONCE)
        assert next(letters).kind == "cannot be read"
        letters.close()  # type: ignore[attr-defined]
        assert len(post.left()) == 3

    def test_what_comes_again_is_shown_once(self, post: Post) -> None:
        post.put("garbage")
        place = replace(post.place, aws=Slow(post.place.aws))
        assert [letter.received.body for letter in letters_of(place, post.lanes, AT_ONCE)] == ["garbage"]

    def test_what_the_sweeper_holds_is_waited_for(self, post: Post) -> None:
        post.put("garbage")
        assert post.place.aws.send(receive(post.lanes["default"], wait=0, hold=1))
        assert post.listed() == []
        found = list(letters_of(post.place, post.lanes, replace(AT_ONCE, patience=2)))
        assert [letter.received.body for letter in found] == ["garbage"]


class TestRedrive:
    def test_unfinished_jobs_are_woken_and_finished_ones_dropped(self, post: Post) -> None:
        woken = [post.put_job(), post.put_job(Status.RUNNING), post.put_job(Status.SCHEDULED), post.put_job()]
        make_newer(post, woken[-1])
        post.put_job(Status.FAILED)
        assert post.redrive() == "redriven 4, dropped 1 that are finished"
        assert sorted(post.queued()) == sorted(map(message_of, woken))
        assert post.left() == []

    def test_what_cannot_be_read_is_left_unless_told_otherwise(self, post: Post) -> None:
        newer = '{"v": 2, "tenant": "t"}'
        for body in ("garbage", '{"v": 1, "tenant": "t", "job": "job_x"}', newer):
            post.put(body)
        assert post.redrive() == (
            "redriven 0, left 1 that cannot be read, left 1 whose row is not there, left 1 of a newer version"
        )
        assert len(post.left()) == 3
        assert post.redrive(drop_unreadable=True) == (
            "redriven 0, left 1 of a newer version, dropped 1 that cannot be read, dropped 1 whose row is not there"
        )
        assert post.left() == [newer]
        assert post.queued() == []

    def test_a_dry_run_changes_nothing(self, post: Post) -> None:
        post.put_job()
        post.put_job(Status.SUCCEEDED)
        post.put("garbage")
        counting = Counting(post.place.aws)
        said = post.redrive(counting, dry_run=True, drop_unreadable=True)
        assert said == (
            "nothing was changed; without --dry-run: "
            "redriven 1, dropped 1 that are finished, dropped 1 that cannot be read"
        )
        assert not {"SendMessage", "DeleteMessage"} & set(counting.operations)
        assert len(post.left()) == 3

    def test_it_needs_what_the_page_says(self, post: Post) -> None:
        counting = Counting(post.place.aws)
        post.put_job()
        post.put("garbage")
        post.redrive(counting)
        said = re.findall(r"`(?:sqs|dynamodb):(\w+)`", OPERATE.read_text(encoding="utf-8"))
        assert set(counting.operations) == set(said)

    def test_only_the_jobs_that_are_asked_for(self, post: Post) -> None:
        wanted, other = post.put_job(), post.put_job()
        post.put("garbage")
        assert post.redrive(jobs=frozenset({wanted.id}), drop_unreadable=True) == "redriven 1"
        assert post.queued() == [message_of(wanted)]
        assert sorted(post.left()) == sorted(["garbage", message_of(other)])

    def test_the_limit_counts_what_is_done(self, post: Post) -> None:
        post.put("garbage")
        for _ in range(5):
            post.put_job()
        assert post.redrive(limit=2) in {"redriven 2", "redriven 2, left 1 that cannot be read"}
        assert len(post.queued()) == 2
        assert len(post.left()) == 4

    def test_it_pauses_between_two(self, post: Post) -> None:
        for _ in range(4):
            post.put_job()
        post.put_job(Status.SUCCEEDED)
        paused: list[float] = []
        post.redrive(timing=replace(AT_ONCE, pause=paused.append), rate=4)
        assert paused == [0.25] * 3

    @pytest.mark.parametrize(("rate", "batch"), [(0.1, 1), (0.2, 3), (10, 10), (1000, 10)])
    def test_no_more_are_held_than_are_dealt_with_in_time(self, post: Post, rate: float, batch: int) -> None:
        counting = Counting(post.place.aws)
        post.redrive(counting, rate=rate)
        assert [call.params["MaxNumberOfMessages"] for call in counting.calls] == [batch] * len(post.lanes)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("at", range(4), ids=["receive", "look", "send", "delete"])
    def test_dying_anywhere_loses_nothing(self, post: Post, at: int, *, after: bool) -> None:
        job = post.put_job()
        with pytest.raises(Died):
            post.redrive(Mortal(post.place.aws, at, after=after))
        # a process that died lets go of nothing, its hold ends by itself: what is held counts
        assert post.queued() in ([], [message_of(job)])
        assert len(post.queued()) + sum(post.counts()) >= 1

    def test_interrupted_it_tells_what_was_done_and_hides_nothing(self, post: Post) -> None:
        for _ in range(5):
            post.put_job()

        def interrupted(_: float) -> None:
            raise KeyboardInterrupt

        run = Redrive(post.place, Order(), replace(AT_ONCE, pause=interrupted))
        with pytest.raises(KeyboardInterrupt):
            run.go_through(post.lanes)
        assert run.summary() == "redriven 1"
        assert (len(post.queued()), len(post.left())) == (1, 4)

    def test_a_refusal_of_aws_ends_it_with_what_was_done(self, post: Post) -> None:
        jobs = [post.put_job() for _ in range(3)]
        sent: list[str] = []

        def third_send(call: Call[Any]) -> bool:
            if call.operation == "SendMessage":
                sent.append(call.operation)
            return call.operation == "SendMessage" and len(sent) == 3

        run = Redrive(replace(post.place, aws=Refusing(post.place.aws, third_send)), Order(), AT_ONCE)
        with pytest.raises(AwsUnavailable):
            run.go_through(post.lanes)
        assert run.summary() == "redriven 2"
        assert (len(post.queued()), len(post.left())) == (2, 1)
        assert sorted([*post.queued(), *post.left()]) == sorted(map(message_of, jobs))

    def test_two_at_once_leave_none_out(self, post: Post) -> None:
        """SQS may hand one message to both; a job that is woken twice runs once."""
        jobs = [post.put_job() for _ in range(30)]
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda _: post.redrive(rate=1000), range(2)))
        queued = post.queued()
        assert sum(int(line.split()[1]) for line in said) == len(queued)
        assert set(queued) == set(map(message_of, jobs))
        assert len(queued) < 2 * len(jobs)
        assert post.left() == []

    def test_it_ends_though_messages_keep_arriving(self, post: Post) -> None:
        post.put_job()
        (first,) = post.place.aws.send(receive(post.lanes["default"], wait=0, hold=0))
        eventually(lambda: system_clock() > first.sent_at, 5)
        ticks = iter(range(first.sent_at - SKEW, first.sent_at, SECOND))
        arriving = Arriving(post)
        said = post.redrive(arriving, Timing(lambda: next(ticks), lambda _: None, patience=6))
        assert said == "redriven 1"
        assert arriving.count > 6
        assert len(post.left()) == arriving.count


class TestWebhooks:
    """In their lane a message is about a job that somebody is to be told of, or about one delivery."""

    def test_both_kinds_are_shown_with_what_their_rows_say(self, post: Post) -> None:
        told, untold = post.submit_done(), post.submit_done(notify=("job.succeeded",))
        pending, failed = post.put_delivery(told), post.put_delivery(told, DeliveryStatus.FAILED)
        gone = post.put_delivery_message(DeliveryKey("t", "whe_of-a-test", 1, "dlv_gone"))
        post.put("garbage", lane=WEBHOOKS)

        shown = post.listed()
        assert {one["lane"] for one in shown} == {WEBHOOKS}
        assert {(one["job"], one["delivery"]): (one["status"], one["attempt"]) for one in shown} == {
            (told.id, None): ("succeeded", 1),
            (untold.id, None): ("succeeded", 1),
            (told.id, pending.delivery): ("pending", 3),
            (told.id, failed.delivery): ("failed", 3),
            ("whe_of-a-test", gone.delivery): ("not there", None),
            (None, None): ("cannot be read", None),
        }

    def test_what_is_still_to_be_told_is_woken_again(self, post: Post) -> None:
        told, untold = post.submit_done(), post.submit_done(notify=("job.succeeded",))
        pending, _ = post.put_delivery(told), post.put_delivery(told, DeliveryStatus.DELIVERED)
        gone = post.put_delivery_message(DeliveryKey("t", "job_x", 1, "dlv_gone"))
        assert post.redrive() == "redriven 2, dropped 2 that are finished, left 1 whose row is not there"
        assert sorted(post.queued(WEBHOOKS)) == sorted([message_of(untold), pending.model_dump_json()])
        assert post.left(WEBHOOKS) == [gone.model_dump_json()]
        assert post.queued() == []

    def test_only_the_deliveries_of_a_job(self, post: Post) -> None:
        one, other = post.world.submit(due_at=None), post.world.submit(due_at=None)
        wanted, unwanted = post.put_delivery(one), post.put_delivery(other)
        assert post.redrive(jobs=frozenset({one.id})) == "redriven 1"
        assert post.queued(WEBHOOKS) == [wanted.model_dump_json()]
        assert post.left(WEBHOOKS) == [unwanted.model_dump_json()]

    def test_a_delivery_in_another_lane_cannot_be_read(self, post: Post) -> None:
        post.put(DeliveryMessage(tenant="t", of="job_x", made=1, delivery="dlv_1", endpoint="whe_1").model_dump_json())
        assert [one["status"] for one in post.listed()] == ["cannot be read"]


class Arriving:
    """A door with another dead letter arriving before each look into the queue."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.count = 0

    def send(self, call: Call[T]) -> T:
        if call.operation == "ReceiveMessage":
            self._post.put("garbage")
            self.count += 1
        return self._post.place.aws.send(call)


class Slow:
    """A door with so much time between two looks into a queue that the hold has passed, thrice."""

    def __init__(self, door: Aws) -> None:
        self._door = door
        self._looks = 0

    def send(self, call: Call[T]) -> T:
        answer = self._door.send(call)
        if call.operation == "ReceiveMessage" and self._looks < 3:
            self._looks += 1
            for received in cast("Sequence[Received]", answer):
                self._door.send(show_again_in(received, 0))
        return answer


class TestPlace:
    def test_a_stack_is_read_from_its_outputs(self, deployment: Deployment, shell: dict[str, str]) -> None:
        place = find(STACK, shell, Path("/"))
        assert place.deployment.table == deployment.table
        assert place.deployment.bucket == deployment.bucket
        assert {
            (lane, url.rpartition("/")[2])
            for queues in (place.deployment.queues, place.deployment.dead_letters)
            for lane, url in queues.items()
        } == {
            (lane, url.rpartition("/")[2])
            for queues in (deployment.queues, deployment.dead_letters)
            for lane, url in queues.items()
        }

    @pytest.mark.usefixtures("deployment")
    def test_a_stack_that_is_not_there(self, shell: dict[str, str]) -> None:
        with pytest.raises(InvalidArgumentError, match=r"^--stack nowhere: there is none of this name in us-east-1$"):
            find("nowhere", shell, Path("/"))

    def test_the_environment_is_taken_before_the_folder(self, post: Post, shell: dict[str, str]) -> None:
        place = find(None, {**shell, **variables(post.place.deployment)}, Path("/"))
        assert place.deployment.model_copy(update={"log": "json"}) == post.place.deployment

    def test_control_c_ends_the_command_with_what_was_done(self, post: Post, shell: dict[str, str]) -> None:
        for _ in range(2):
            post.put_job()
        env = {**shell, **variables(post.place.deployment)}
        command = [sys.executable, "-c", "from coatcheck.client.cli import main; main()"]
        arguments = ["dlq", "redrive", "--rate", "0.1"]
        with subprocess.Popen([*command, *arguments], env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                # it has the second one when it has done the first
                eventually(lambda: post.counts() == (0, 1), 30)
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=30)
            finally:
                process.kill()
        assert (process.returncode, said) == (130, "redriven 1\n")
        assert (len(post.queued()), len(post.left())) == (1, 1)


def variables(deployment: Deployment) -> dict[str, str]:
    """The environment that makes this deployment."""
    return {
        "COATCHECK_TABLE": deployment.table,
        "COATCHECK_BUCKET": deployment.bucket,
        "COATCHECK_QUEUES": json.dumps(deployment.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(deployment.dead_letters),
        "COATCHECK_WEBHOOK_KEY": deployment.webhook_key,
    }
