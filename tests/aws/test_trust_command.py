"""`coatcheck trust` as an owner types it, on the stores of both emulators."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coatcheck.cli.main import main
from coatcheck.core.settings import Settings
from tests.aws.dead_letters.dead_letter_harness import environment_of

POLICY = {
    "issuers": [{"issuer": "https://login.example.com/", "audiences": ["jobs"], "tenant_claim": "org"}],
    "callers": [{"arn": "arn:aws:iam::123456789012:role/importer", "tenant": "acme", "scopes": ["jobs:submit"]}],
}

Trust = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trust(
    settings: Settings, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Trust:
    """Types `coatcheck trust …` where the environment names the deployment; its exit code, stdout and stderr."""
    for name, value in (shell | environment_of(settings)).items():
        monkeypatch.setenv(name, value)

    def trust(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["trust", *argv])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return trust


def written(folder: Path, policy: Any) -> str:
    file = folder / "trust.json"
    file.write_text(json.dumps(policy))
    return str(file)


def test_a_policy_is_set_shown_and_emptied(trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = tmp_path / "audit.log"
    monkeypatch.setenv("COATCHECK_AUDIT_FILE", str(audit))
    assert trust("set", written(tmp_path, POLICY)) == (0, "issuers: 1, callers: 1; known everywhere in 30 s\n", "")
    code, out, _ = trust("show")
    assert (code, json.loads(out)) == (0, POLICY)
    assert trust("set", written(tmp_path, {}))[0] == 0
    assert trust("show") == (0, "{}\n", "")
    assert [json.loads(line)["action"] for line in audit.read_text().splitlines()] == ["trust.set"] * 2


def test_a_faulty_policy_changes_nothing_and_each_fault_is_named(trust: Trust, tmp_path: Path) -> None:
    faulty = POLICY | {"issuers": [{"issuer": "http://login.example.com", "audiences": []}]}
    file = written(tmp_path, faulty)
    code, out, err = trust("set", file)
    assert (code, out) == (2, "")
    assert f"{file}: issuers.0.issuer: " in err
    assert f"{file}: issuers.0.audiences: " in err
    assert "Traceback" not in err
    assert trust("show")[1] == "{}\n"


def test_a_file_that_is_not_there_is_named(trust: Trust, tmp_path: Path) -> None:
    code, _, err = trust("set", str(tmp_path / "none.json"))
    assert (code, err) == (2, f"coatcheck: {tmp_path / 'none.json'}: No such file or directory\n")
