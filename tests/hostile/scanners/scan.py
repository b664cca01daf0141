"""Runs the scanners, and holds what they find against the excuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.project.config import ApiConfig, ProjectConfig
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.project.template_doors import ADDED
from coatcheck_infra.template import read_template
from tests.aws.service.proxied_path import project_with_proxy
from tests.aws.service.submits import LETTERS
from tests.hostile.scanners.excuses import BANDIT, CHECKOV, Excuse
from tests.hostile.tools import BANDIT_TOOL, CHECKOV_TOOL, PIP_AUDIT_TOOL, run_tool
from tests.repository import ROOT

OURS = ("coatcheck", "service", "worker", "infra", "example")
LOCKS = ("requirements/dev.txt", "example/requirements.lock", "infra/coatcheck_infra/toolchain/locks/ministack.txt")


@dataclass(frozen=True)
class Finding:
    """What a scanner found: the id of its check, where, and what is wrong."""

    check: str
    where: str
    what: str


@dataclass(frozen=True)
class Scanner:
    """A scanner, and why some of its findings are left as they are."""

    find: Callable[[Path], Iterator[Finding]]
    excuses: Mapping[str, Excuse]

    def wrong(self, scratch: Path) -> list[str]:
        """Return a line for each finding that has no excuse, and for each excuse of nothing."""
        found = list(self.find(scratch))
        stale = self.excuses.keys() - {one.check for one in found}
        return [
            *(f"{one.check} {one.where}: {one.what}" for one in found if not self._excused(one)),
            *(f"{check}: has an excuse, and is not found any more" for check in sorted(stale)),
        ]

    def _excused(self, finding: Finding) -> bool:
        excuse = self.excuses.get(finding.check)
        return excuse is not None and excuse.covers(finding.where)


def _checkov(scratch: Path) -> Iterator[Finding]:
    """Look at the template as CloudFormation gets it: in a SAM source, scanners miss what they do not know."""
    files = [scratch / f"{door}.json" for door in ADDED]
    for file in files:
        api = ApiConfig.model_validate({"front-door": f"rest+{file.stem}"})
        file.write_text(json.dumps(translate_template(template=render_api(read_template(), api))))
    proxied = translate_template(template=project_with_proxy(LETTERS))
    for name, template in (("containers", _in_containers()), ("functions", _in_functions()), ("proxied", proxied)):
        files.append(scratch / f"{name}.json")
        files[-1].write_text(json.dumps(template))
    options = ("--framework=cloudformation", "--skip-download", "--quiet", "--compact", "--output=json")
    report = _json(run_tool(CHECKOV_TOOL, *(f"--file={file}" for file in files), *options).stdout)
    if report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        raise AssertionError(report["summary"])
    for one in report["results"]["failed_checks"]:
        yield Finding(one["check_id"], one["resource"], one["check_name"])


def _in_containers() -> dict[str, Any]:
    """Return what CloudFormation gets of a project that runs in containers what it can."""
    config = ProjectConfig.model_validate(
        {
            "jobs": ["jobs.tables"],
            "lanes": {"default": {"kind": "container"}},
            "api": {"front-door": "alb"},
            "containers": {
                "services": ["api", "deliverer", "sweeper"],
                "vpc": "vpc-0a1b2c3d",
                "subnets": ["subnet-0a1b2c3d"],
                "security-groups": ["sg-0a1b2c3d"],
            },
        }
    )
    images = dict.fromkeys(("ApiImage", "WorkerImage"), f"words@sha256:{'0' * 64}")
    return translate_template(images, render_template(read_template(), config))


def _in_functions() -> dict[str, Any]:
    """Return what CloudFormation gets of a project that asks for all that its functions can have."""
    config = ProjectConfig.model_validate(
        {
            "jobs": ["jobs.tables"],
            "lanes": {"default": {"kind": "lambda-managed"}},
            "api": {"front-door": "function-url", "cloudfront": True, "streaming": True},
            "handlers": {"vpc": {"subnets": ["subnet-0a1b2c3d"], "security-groups": ["sg-0a1b2c3d"]}},
            "traces": {"packages": True, "x-ray": True},
        }
    )
    return translate_template(template=render_template(read_template(), config))


def _bandit(_: Path) -> Iterator[Finding]:
    """Look at all our code, except at tests."""
    report = _json(
        run_tool(BANDIT_TOOL, "--quiet", "--recursive", *OURS, "--exclude=*/build/*", "--format=json").stdout
    )
    if report["errors"] or report["metrics"]["_totals"]["loc"] < 10_000:
        raise AssertionError(report["errors"] or report["metrics"]["_totals"])
    for one in report["results"]:
        yield Finding(one["test_id"], f"{one['filename']}:{one['line_number']}", one["issue_text"])


def _pip_audit(_: Path) -> Iterator[Finding]:
    """Ask the network for known vulnerabilities of what the locks name."""
    for lock in LOCKS:
        done = run_tool(PIP_AUDIT_TOOL, "--requirement", ROOT / lock, "--disable-pip", "--no-deps", "--format=json")
        if not done.stdout.strip():
            raise AssertionError(f"pip-audit said nothing of {lock}: {done.stderr.strip()[-300:]}")
        packages = _json(done.stdout)["dependencies"]
        if unknown := [package["name"] for package in packages if "skip_reason" in package]:
            yield Finding("not-audited", lock, f"{len(unknown)} of {len(packages)} packages, such as {unknown[0]}")
        for package in packages:
            for one in package.get("vulns", ()):
                yield Finding(one["id"], f"{lock}: {package['name']} {package['version']}", one["description"][:200])


def _json(text: str) -> Any:
    return json.loads(text)


SCANNERS: Mapping[str, Scanner] = {"checkov": Scanner(_checkov, CHECKOV), "bandit": Scanner(_bandit, BANDIT)}
"""Those that need no network, once they are installed."""

ONLINE: Mapping[str, Scanner] = {"pip-audit": Scanner(_pip_audit, {})}
