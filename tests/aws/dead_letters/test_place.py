"""Where the command finds the queues, and how it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck.client.errors import InvalidArgumentError
from coatcheck.deployment import Deployment
from infra.dead_letters.place import find
from infra.embedded.stack import STACK
from tests.aws.dead_letters.post import Post, variables
from tests.journeys.running import eventually


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
