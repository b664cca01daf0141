"""What `coatcheck up` works out before it starts anything."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from watchfiles import Change

from coatcheck_infra.local import environment, reaper
from coatcheck_infra.local.banner import BannerFacts, commands, serving_lines
from coatcheck_infra.local.home import Home, StackEndpoint
from coatcheck_infra.local.local_template import job_modules, local_template
from coatcheck_infra.local.process_supervisor import restart_delay
from coatcheck_infra.local.reload import PROCESSES_BY_PACKAGE, CodeFilter, first_compile_error, last_error
from coatcheck_infra.local.resources import STORE_TYPES, stores_template
from coatcheck_infra.local.terminal import COLOURS
from coatcheck_infra.project.config import Project, ProjectConfig
from coatcheck_infra.template import read_template


def test_stores_are_those_of_the_template() -> None:
    template = read_template()
    stores, names = stores_template(template)
    assert {one["Type"] for one in stores["Resources"].values()} == STORE_TYPES
    assert all(template["Resources"][name] == one for name, one in stores["Resources"].items())
    assert {"COATCHECK_TABLE", "COATCHECK_BUCKET", "COATCHECK_QUEUES"} <= set(names)
    table = {"Fn::If": ["MakesTable", {"Ref": "Table"}, {"Ref": "ExistingTable"}]}
    assert stores["Outputs"][f"Variable{names.index('COATCHECK_TABLE')}"] == {"Value": table}
    kept = {
        "TableName",
        "BucketName",
        "DefaultQueueUrl",
        "HeavyQueueUrl",
        "WebhooksQueueUrl",
        "DefaultDeadLettersUrl",
        "HeavyDeadLettersUrl",
        "WebhooksDeadLettersUrl",
        "WebhookKeyArn",
    }
    assert {name for name in template["Outputs"] if name in stores["Outputs"]} == kept
    json.dumps(stores)


def test_nothing_of_the_users_aws_reaches_the_parts() -> None:
    shell = {"AWS_PROFILE": "work", "AWS_ENDPOINT_URL_S3": "https://s3", "COATCHECK_TABLE": "t", "PYTHONPATH": "x"}
    parts = environment.child_environment(
        {**shell, "HOME": "/home/me", "no_proxy": "a"}, Path("/s"), "http://127.0.0.1:1"
    )
    assert not parts.keys() & shell.keys()
    assert parts["HOME"] == "/home/me"
    assert parts["NO_PROXY"] == parts["no_proxy"] == "a,127.0.0.1,localhost"
    assert parts["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert parts["TMPDIR"] == "/s"


def test_what_is_served_locally_needs_no_job_type_of_the_owner() -> None:
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], "local": {"jobs": ["jobs.demo"]}})
    assert job_modules(config) == "jobs.words,jobs.demo,coatcheck.authoring.ping"


def test_the_template_of_a_project_is_made_fit_for_this_machine(tmp_path: Path) -> None:
    table = {
        "jobs": ["jobs.words"],
        "lanes": {"gpu": {}},
        "handlers": {
            "secrets": {"KEY": "payments/key", "OTHER": "payments/other"},
            "layers": ["arn:aws:lambda:eu-central-1:123456789012:layer:fonts:1"],
            "vpc": {"subnets": ["subnet-1"], "security-groups": ["sg-1"]},
        },
    }
    project = Project(tmp_path, tmp_path / ".coatcheck", ProjectConfig.model_validate(table), {})
    template = local_template(project, {"KEY": "s3cret", "HOME": "/home/me"}, "rest")
    functions = [one["Properties"] for one in template["Resources"].values() if "Handler" in one.get("Properties", {})]
    workers = [one for one in functions if one["Handler"] == "coatcheck_worker.aws_lambda.run"]
    assert len(workers) == 2
    for worker in workers:
        variables = worker["Environment"]["Variables"]
        assert variables["KEY"] == "s3cret"
        assert not {"OTHER", "COATCHECK_SECRETS"} & variables.keys()
    for function in functions:
        assert "s3cret" not in json.dumps(function) or function in workers
        assert not {"Layers", "VpcConfig"} & function.keys()
    assert template["Globals"]["Function"]["Environment"]["Variables"]["COATCHECK_JOBS"].startswith("jobs.words,")


def test_what_only_aws_has_is_left_out_here(tmp_path: Path) -> None:
    table = {
        "jobs": ["jobs.words"],
        "lanes": {"films": {"kind": "lambda-managed"}},
        "api": {"front-door": "function-url", "streaming": True, "cloudfront": True},
        "handlers": {"vpc": {"subnets": ["subnet-1"], "security-groups": ["sg-1"]}},
        "traces": {"packages": True},
    }
    project = Project(tmp_path, tmp_path / ".coatcheck", ProjectConfig.model_validate(table), {})
    template = local_template(project, {}, "function-url")
    kinds = {one["Type"] for one in template["Resources"].values()}
    assert not {"AWS::Lambda::CapacityProvider", "AWS::CloudFront::Distribution"} & kinds
    assert template["Resources"]["ApiFunction"]["Properties"]["Handler"] == "coatcheck_service.aws_lambda.handler"
    assert "FilmsWorker" in template["Resources"]
    assert "WRAPPER" not in json.dumps(template)


def test_keys_are_made_once_and_stay_those_of_their_tenants(tmp_path: Path) -> None:
    home = Home(tmp_path)
    file = tmp_path / "keys.json"
    alone = home.api_keys([])
    assert list(alone) == ["local"]
    assert not file.exists()
    several = home.api_keys(["acme", "globex"])
    assert json.loads(file.read_text()) == several
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert several["local"] == alone["local"] == home.api_key()
    assert len(set(several.values())) == 3
    assert home.api_keys(["globex", "acme", "another"]).items() >= several.items()
    for damaged in ("not JSON", "[]", '{"acme": 1}'):
        file.write_text(damaged)
        assert home.api_keys(["acme"])["acme"].startswith("cck_")
    home.api_keys([])
    assert not file.exists()


def test_the_environment_file_can_be_read_by_a_shell_and_goes_with_the_stack(tmp_path: Path) -> None:
    home = Home(tmp_path)
    endpoint = StackEndpoint("http://127.0.0.1:8000", "cck_1", "http://127.0.0.1:9", "id", "secret", 1)
    env = {"COATCHECK_QUEUES": '{"default": "it\'s $HOME"}', "AWS_REGION": "us-east-1"}
    with home.publish(endpoint, env):
        assert stat.S_IMODE(home.environment.stat().st_mode) == 0o600
        script = 'set -a; . "$1"; exec "$2" -c "import json, os; print(json.dumps(dict(os.environ)))"'
        shell = ["sh", "-c", script, "sh", str(home.environment), sys.executable]
        read = subprocess.run(shell, env={}, check=True, capture_output=True, text=True)
        assert json.loads(read.stdout).items() >= env.items()
    assert not home.environment.exists()
    assert not home.endpoint.exists()


def test_the_warden_ends_what_was_not_taken_off_its_list() -> None:
    assert reaper.groups_left(["12\n", "13\n", "-12\n", "14\n", "-99\n"]) == {13, 14}


def test_the_warden_removes_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "tree" / "branch").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("tree", "file", "never-was"):
        reaper.remove(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_pauses_grow_to_ten_seconds() -> None:
    assert [restart_delay(ends) for ends in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_code_that_cannot_be_compiled_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("x = 1\ny = (\n")
    (tmp_path / "null.py").write_bytes(b"\0")
    good, bad, null, gone = (tmp_path / f"{name}.py" for name in ("good", "bad", "null", "gone"))
    assert first_compile_error([good, gone]) is None
    assert first_compile_error([good, bad], lambda file: file.name) == "bad.py:2: '(' was never closed"
    assert first_compile_error([null]) is not None
    (tmp_path / "folder.py").mkdir()
    assert "Is a directory" in str(first_compile_error([tmp_path / "folder.py"]))


def test_a_traceback_is_one_line() -> None:
    code = "def f():\n    raise RuntimeError('not today')\nf()"
    command = [sys.executable, "-c", f"exec(compile({code!r}, '/a/b.py', 'exec'))"]
    lines = subprocess.run(command, check=False, capture_output=True, text=True).stderr.splitlines()
    assert last_error(lines, lambda file: file.name) == "b.py:2: RuntimeError: not today"
    assert last_error([]) == "it ended without a message"


@pytest.mark.parametrize(
    ("path", "watched"),
    [
        ("/p/jobs/words.py", True),
        ("/p/words.py", True),
        ("/p/pyproject.toml", True),
        ("/p/jobs/words.txt", False),
        ("/p/tests/test_words.py", False),
        ("/p/.venv/lib/python3.11/site-packages/x.py", False),
        ("/p/.git/x.py", False),
        ("/p/.coatcheck/code/x.py", False),
        ("/p/jobs/__pycache__/x.py", False),
        ("/p/build/local/x.py", False),
        ("/elsewhere/coatcheck/client/job.py", True),
        ("/elsewhere/other/x.py", False),
    ],
)
def test_what_is_watched(path: str, watched: bool) -> None:  # noqa: FBT001
    code = CodeFilter(Path("/p"), [Path("/elsewhere/coatcheck")])
    assert code(Change.modified, path) is watched


def test_what_is_reloaded_exists() -> None:
    assert {part for parts in PROCESSES_BY_PACKAGE.values() for part in parts} <= COLOURS.keys()


def test_the_banner_passes_a_home_that_the_commands_would_not_find(tmp_path: Path) -> None:
    endpoint = StackEndpoint("http://127.0.0.1:8000", "cck_1", "http://127.0.0.1:9", "id", "secret", 1)
    facts = BannerFacts(
        endpoint, tmp_path / "elsewhere", {}, {"default": ["demo.sleep"]}, runners=2, home_is_found=False
    )
    curl, submit, listing = commands(facts)
    assert "http://127.0.0.1:8000/v1/jobs" in curl
    assert "Bearer cck_1" in curl
    assert submit.startswith(f"COATCHECK_HOME={tmp_path}/elsewhere ")
    assert listing.startswith(f"COATCHECK_HOME={tmp_path}/elsewhere ")
    assert "COATCHECK_HOME" not in "".join(commands(replace(facts, home_is_found=True)))
    of_an_owner = "\n".join(commands(replace(facts, served={"default": ["text.words"]})))
    assert "demo.sleep" not in of_an_owner
    assert "coatcheck types text.words" in of_an_owner


def test_a_line_for_each_lane_says_what_is_served() -> None:
    served = {"heavy": ["image.thumbnails"], "default": ["text.words", "a.b"]}
    assert list(serving_lines(served, 2)) == [
        "serving a.b, text.words (lane default, 2 runners)",
        "serving image.thumbnails (lane heavy, 2 runners)",
    ]
    assert list(serving_lines({"default": ["a.b"]}, None)) == ["serving a.b (lane default)"]
