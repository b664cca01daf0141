"""`[tool.coatcheck]`: where it is found, and what is wrong with it in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck_infra.project.config import ProjectError, find_project
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.project_template import project_template

SMALL = '[tool.coatcheck]\njobs = ["jobs.words"]\n'


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_nearest_project_upwards_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a", SMALL)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    write(tmp_path / "a" / "b", "[project]\nname = 'other'\n")
    project = find_project(tmp_path / "a" / "b" / "c")
    assert (project.root, project.home) == (tmp_path / "a", tmp_path / "a" / ".coatcheck")
    assert project.config.jobs == ["jobs.words"]
    assert project.config.lanes == {"default": Lane()}


def test_a_repository_may_hold_more_than_the_project(tmp_path: Path) -> None:
    write(tmp_path, '[tool.coatcheck]\nproject = "sub"\n')
    write(tmp_path / "sub", SMALL)
    project = find_project(tmp_path)
    assert (project.root, project.home) == (tmp_path / "sub", tmp_path / ".coatcheck")


def test_every_key_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
[tool.coatcheck]
jobs = ["jobs.words", "jobs.imaging"]
[tool.coatcheck.lanes]
big-images = { memory = 3008, concurrency = 5 }
[tool.coatcheck.handlers]
environment = { MODEL = "small" }
secrets = { PAYMENTS_KEY = "payments/key" }
policies = "infra/policies.json"
layers = ["arn:aws:lambda:eu-central-1:1:layer:a:1"]
vpc = { subnets = ["subnet-1"], security-groups = ["sg-1"] }
[tool.coatcheck.deploy]
stack = "words"
region = "eu-central-1"
parameters = { DefaultRetentionDays = 7 }
[tool.coatcheck.local]
jobs = ["jobs.demo"]
tenants = ["acme"]
""",
    )
    config = find_project(tmp_path).config
    assert config.lanes == {"default": Lane(), "big-images": Lane(memory=3008, concurrency=5)}
    assert config.handlers.vpc
    assert config.handlers.vpc.security_groups == ["sg-1"]
    assert (config.deploy.stack, config.deploy.parameters) == ("words", {"DefaultRetentionDays": 7})
    assert (config.local.jobs, config.local.tenants) == (["jobs.demo"], ["acme"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.coatcheck", "pyproject.toml: Expected ']'"),
        ("[tool.coatcheck]\n", "tool.coatcheck.jobs: Field required"),
        ("[tool.coatcheck]\njobs = []\n", "tool.coatcheck.jobs: List should have at least 1 item"),
        (
            '[tool.coatcheck]\njobs = ["jobs/words.py"]\n',
            "tool.coatcheck.jobs.0: must be the name of a module, as jobs.words",
        ),
        (
            f"{SMALL}colour = 1\n",
            "unknown key `colour`; the keys are jobs, python, lanes, failure-alarms, handlers, api, deploy",
        ),
        (f"{SMALL}[tool.coatcheck.lanes]\nSlow_1 = {{}}", "tool.coatcheck.lanes.Slow_1: must be lower-case letters"),
        (f"{SMALL}lane = 1\n", "tool.coatcheck: unknown key `lane`; did you mean `lanes`?"),
        (f"{SMALL}[tool.coatcheck.lanes]\nheavy = {{ memmory = 1 }}", "unknown key `memmory`; did you mean `memory`?"),
        (f"{SMALL}[tool.coatcheck.lanes]\nheavy = {{ memory = 1 }}", "lanes.heavy.memory: Input should be greater"),
        (f"{SMALL}[tool.coatcheck.lanes]\nwebhooks = {{}}", "tool.coatcheck.lanes: the lane webhooks is reserved"),
        (
            f'{SMALL}[tool.coatcheck.handlers]\nvpc = {{ subnets = ["s"], security_groups = ["g"] }}',
            "handlers.vpc: unknown key `security_groups`; did you mean `security-groups`?",
        ),
        ('[tool.coatcheck]\nproject = "elsewhere"\n', "tool.coatcheck.project: there is no "),
        ('[tool]\ncoatcheck = "yes"\n', "tool.coatcheck: Input should be"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProjectError) as raised:
        find_project(write(tmp_path, text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_a_project_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"^no project here: .* Make a project with: coatcheck init NAME$"):
        find_project(tmp_path)


def test_another_python_than_lambda_has_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"tool\.coatcheck\.python: Input should be '3\.13' or '3\.14'$"):
        find_project(write(tmp_path, SMALL + 'python = "3.12"\n'))


@pytest.mark.parametrize("python", ["3.13", "3.14"])
def test_all_functions_run_the_python_of_the_project(tmp_path: Path, python: str) -> None:
    template = project_template(find_project(write(tmp_path, f'{SMALL}python = "{python}"\n')))
    assert template["Globals"]["Function"]["Runtime"] == f"python{python}"
    functions = [one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Function"]
    assert functions
    assert not [one for one in functions if "Runtime" in one["Properties"]]
