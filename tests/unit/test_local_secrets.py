"""`up` names the secrets that handlers would miss."""

from __future__ import annotations

from pathlib import Path

from coatcheck_infra.local.launch import missing_secrets
from coatcheck_infra.project.config import find_project

PYPROJECT = """\
[tool.coatcheck]
jobs = ["jobs.words"]
[tool.coatcheck.handlers]
secrets = { PAYMENTS_KEY = "payments/key", MAIL_KEY = "mail/key" }
"""


def test_secrets_without_a_variable_are_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    project = find_project(tmp_path)
    assert missing_secrets(project, {"MAIL_KEY": "x"}) == ["PAYMENTS_KEY"]
    assert missing_secrets(project, {"MAIL_KEY": "x", "PAYMENTS_KEY": ""}) == []
