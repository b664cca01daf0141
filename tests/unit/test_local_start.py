"""What `coatcheck up` works out before it starts anything."""

from __future__ import annotations

import json
from pathlib import Path

from coatcheck_infra.local import environment, reaper
from coatcheck_infra.local.banner import commands
from coatcheck_infra.local.home import StackEndpoint
from coatcheck_infra.local.process_supervisor import restart_delay
from coatcheck_infra.local.reload import PROCESSES_BY_PACKAGE, first_compile_error
from coatcheck_infra.local.resources import STORE_TYPES, stores_template
from coatcheck_infra.local.stack_context import api_keys
from coatcheck_infra.local.terminal import COLOURS
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


def test_only_the_hash_of_the_key_is_passed_on() -> None:
    assert json.loads(api_keys("abc")) == {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad": "local"}


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
    assert first_compile_error(tmp_path, [Path("good.py"), Path("gone.py")]) is None
    assert first_compile_error(tmp_path, [Path("good.py"), Path("bad.py")]) == "bad.py, line 2: '(' was never closed"
    assert first_compile_error(tmp_path, [Path("null.py")]) is not None


def test_what_is_reloaded_exists() -> None:
    assert {part for parts in PROCESSES_BY_PACKAGE.values() for part in parts} <= COLOURS.keys()


def test_the_banner_passes_a_home_that_the_commands_would_not_find(tmp_path: Path) -> None:
    endpoint = StackEndpoint("http://127.0.0.1:8000", "cck_1", "http://127.0.0.1:9", "id", "secret", 1)
    curl, submit, listing = commands(endpoint, tmp_path / "elsewhere")
    assert "http://127.0.0.1:8000/v1/jobs" in curl
    assert "Bearer cck_1" in curl
    assert submit.startswith(f"COATCHECK_HOME={tmp_path}/elsewhere ")
    assert listing.startswith(f"COATCHECK_HOME={tmp_path}/elsewhere ")
    assert "COATCHECK_HOME" not in "".join(commands(endpoint, Path(".coatcheck").resolve()))
