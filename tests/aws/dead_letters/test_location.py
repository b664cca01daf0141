"""Where the command finds the queues, and how it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.settings import Settings
from coatcheck_infra.local.resources import STACK
from coatcheck_infra.ops.target_deployment import find_deployment
from tests.aws.dead_letters.dead_letter_harness import DeadLetterHarness, environment_of
from tests.waiting import eventually


class TestPlace:
    def test_a_stack_is_read_from_its_outputs(self, settings: Settings, shell: dict[str, str]) -> None:
        target = find_deployment(STACK, shell, Path("/"))
        assert target.settings.table == settings.table
        assert target.settings.bucket == settings.bucket
        assert {
            (lane, url.rpartition("/")[2])
            for queues in (target.settings.queues, target.settings.dead_letters)
            for lane, url in queues.items()
        } == {
            (lane, url.rpartition("/")[2])
            for queues in (settings.queues, settings.dead_letters)
            for lane, url in queues.items()
        }

    @pytest.mark.usefixtures("settings")
    def test_a_stack_that_is_not_there(self, shell: dict[str, str]) -> None:
        with pytest.raises(InvalidArgumentError, match=r"^--stack nowhere: no such stack in us-east-1$"):
            find_deployment("nowhere", shell, Path("/"))

    @pytest.mark.usefixtures("settings")
    def test_a_stack_is_where_the_project_deploys_it_to(self, shell: dict[str, str], tmp_path: Path) -> None:
        deploy = '[tool.coatcheck]\njobs = ["jobs"]\n[tool.coatcheck.deploy]\nstack = "words"\nregion = "eu-west-1"\n'
        (tmp_path / "pyproject.toml").write_text(deploy)
        with pytest.raises(InvalidArgumentError, match=r"^--stack words: no such stack in eu-west-1$"):
            find_deployment("words", shell, tmp_path)
        with pytest.raises(InvalidArgumentError, match=r"^--stack other: no such stack in us-east-1$"):
            find_deployment("other", shell, tmp_path)
        (tmp_path / "pyproject.toml").write_text(deploy + "[")
        with pytest.raises(InvalidArgumentError, match=r"^--stack words: no such stack in us-east-1$"):
            find_deployment("words", shell, tmp_path)

    def test_the_environment_is_taken_before_the_folder(self, dlq: DeadLetterHarness, shell: dict[str, str]) -> None:
        target = find_deployment(None, {**shell, **environment_of(dlq.target.settings)}, Path("/"))
        # what a command does not need is not in the environment
        ours = dlq.target.settings.model_dump(include={"log", "metrics", "metrics_namespace"})
        assert target.settings.model_copy(update=ours) == dlq.target.settings

    def test_control_c_ends_the_command_with_what_was_done(self, dlq: DeadLetterHarness, shell: dict[str, str]) -> None:
        for _ in range(2):
            dlq.put_job()
        env = {**shell, **environment_of(dlq.target.settings)}
        command = [sys.executable, "-c", "from coatcheck.cli.main import main; main()"]
        arguments = ["dlq", "redrive", "--rate", "0.1"]
        with subprocess.Popen([*command, *arguments], env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                # it has the second one when it has done the first
                eventually(lambda: dlq.counts() == (0, 1))
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=30)
            finally:
                process.kill()
        assert (process.returncode, said) == (130, "redriven 1\n")
        assert len(dlq.queued()) == 1
        eventually(lambda: dlq.counts() == (1, 0), described=dlq.counts)
