"""Process a message of a lane of jobs."""

from __future__ import annotations

from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.messages import JobMessage
from coatcheck_worker.dependencies import Dependencies, Disposition
from coatcheck_worker.message_consumer import process_message
from coatcheck_worker.supervisor.claim import AttemptCallback, run_job


def handle(
    dependencies: Dependencies,
    received: ReceivedMessage,
    *,
    deadline: int | None = None,
    on_attempt: AttemptCallback = lambda _: None,
) -> bool:
    """Do what the message asks for. Returns True if the message is done and is to be deleted.

    `deadline` and `on_attempt` are as in `run_job`. Raises AwsError when AWS is unavailable: nothing is lost then, the
    sweeper recovers the job.
    """

    def work() -> Disposition:
        return run_job(dependencies, JobMessage.parse(received.body), deadline=deadline, on_attempt=on_attempt)

    return process_message(dependencies, received, work)
