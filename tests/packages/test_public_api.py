"""What `coatcheck` exports, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import coatcheck
from tests.repository import ROOT

EXPORTED = [
    "Artifact",
    "BadSignature",
    "Client",
    "CoatcheckError",
    "ConnectionFailed",
    "Context",
    "Continue",
    "InvalidArgumentError",
    "Job",
    "JobType",
    "LocalContext",
    "NoServerError",
    "NotFinished",
    "Outcome",
    "ProblemError",
    "Reject",
    "Result",
    "RetryLater",
    "RetryPolicy",
    "Stopped",
    "TransferFailed",
    "UnexpectedResponseError",
    "Upload",
    "confined",
    "job",
    "hours",
    "minutes",
    "run_job",
    "verify",
]


def loaded_by(statement: str) -> set[str]:
    """The modules that are loaded after `statement`, in an interpreter of its own."""
    code = f"import sys; {statement}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(ended.stdout.split())


def test_these_names_are_exported() -> None:
    assert sorted(coatcheck.__all__) == sorted(EXPORTED)


@pytest.mark.parametrize("name", EXPORTED)
def test_each_is_there_and_of_this_package(name: str) -> None:
    exported = getattr(coatcheck, name)
    assert (exported.__name__ if isinstance(exported, ModuleType) else exported.__module__).startswith("coatcheck.")
    assert name in dir(coatcheck)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = coatcheck.Cleint


def test_importing_it_imports_nothing_else() -> None:
    ours = {name for name in loaded_by("import coatcheck") if name.startswith("coatcheck")}
    assert ours == {"coatcheck"}
    assert not loaded_by("import coatcheck") & {"httpx", "pydantic"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        (
            "from coatcheck import JobType, job, Context",
            {"httpx", "stamina", "boto3", "botocore", "fastapi", "typer"},
        ),
        ("from coatcheck import Client", {"coatcheck.authoring", "boto3", "botocore", "fastapi", "typer"}),
        ("from coatcheck import Reject, confined", {"httpx", "pydantic", "boto3", "botocore", "fastapi", "typer"}),
        ("from coatcheck import verify", {"httpx", "pydantic", "boto3", "botocore", "fastapi", "typer"}),
    ],
    ids=["an author", "a client", "a confined process", "a receiver of webhooks"],
)
def test_nobody_loads_what_only_others_need(statement: str, unwanted: set[str]) -> None:
    assert not loaded_by(statement) & unwanted


def test_its_types_are_complete() -> None:
    pyright = ROOT / ".coatcheck" / "node" / "node_modules" / ".bin" / "pyright"
    assert pyright.is_file(), "pyright is missing: run `make test`, or `make .coatcheck/node/.ready`"
    # what it finds `coatcheck` in is the environment of the `python` on PATH
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [pyright, "--verifytypes", "coatcheck", "--ignoreexternal"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        cwd=ROOT,
    )
    assert "Type completeness score: 100%" in ended.stdout, ended.stdout[-3000:]
