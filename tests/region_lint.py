"""Lints the templates of projects for every region: `python -m tests.region_lint FOLDER`, a part of `make validate`.

A region that lacks a type of resource refuses the whole template (docs/adr/0141). Which ones do is known, and said in
docs/front-doors.md and docs/project.md: what else is found fails.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.ops.deploy.regions import WITHOUT_MANAGED_INSTANCES
from coatcheck_infra.project.config import ProjectConfig
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.template import read_template

Json = dict[str, Any]

VPC = {"subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"], "security-groups": ["sg-0a1b2c3d"]}
CONTAINERS = {"services": ["deliverer", "sweeper"], **VPC}
IN_A_CONTAINER = {"heavy": {"kind": "container", "cpu": 4, "memory": 16384}}

PROJECTS: Mapping[str, Json] = {
    "function-url": {"api": {"front-door": "function-url"}},
    "alb": {"api": {"front-door": "alb"}},
    "rest-streamed": {"api": {"streaming": True, "authorizer": True}},
    "cloudfront": {"api": {"front-door": "function-url", "streaming": True, "cloudfront": True}},
    "managed": {"lanes": {"heavy": {"kind": "lambda-managed"}}, "handlers": {"vpc": VPC}},
    "containers": {"lanes": IN_A_CONTAINER, "containers": CONTAINERS},
    "api-in-containers": {
        "api": {"front-door": "alb"},
        "containers": {**CONTAINERS, "services": ["api"], "vpc": "vpc-0a1b2c3d"},
    },
}
"""What each project has in its settings, by the name of its template."""

GOVCLOUD = frozenset({"us-gov-east-1", "us-gov-west-1"})
LACKING: Mapping[str, frozenset[str]] = {
    "AWS::Lambda::Url": GOVCLOUD
    | {
        *("ap-east-2", "ap-south-2", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"),
        *("ca-west-1", "cn-northwest-1", "eu-central-2", "il-central-1", "me-central-1", "mx-central-1"),
    },
    "AWS::Lambda::CapacityProvider": WITHOUT_MANAGED_INSTANCES,
    "AWS::CloudFront::Distribution": GOVCLOUD,
}
"""The regions that lack a type, as cfn-lint 1.58.0 knows them."""

IMAGES = dict.fromkeys(("ApiImage", "WorkerImage"), f"words@sha256:{'0' * 64}")

NO_SUCH_TYPE = "E3006"
_TYPE_AND_REGIONS = re.compile(r"'(AWS::[\w:]+)' does not exist in (.+)")


def main() -> int:
    """Write the templates to the folder, lint each, and print what is found. Returns the exit code."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # it warns of features that only SAM as a service has
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    found: dict[str, set[str]] = defaultdict(set)
    problems: list[str] = []
    paths = [write_template(folder, name) for name in PROJECTS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        linted = dict(zip(PROJECTS, pool.map(findings, paths), strict=True))
    for name, listed in linted.items():
        for one in listed:
            missing = _TYPE_AND_REGIONS.search(one["Message"]) if one["Rule"]["Id"] == NO_SUCH_TYPE else None
            if missing:
                found[missing[1]].update(re.findall(r"[a-z]{2,4}-[a-z-]+-\d", missing[2]))
            else:
                problems.append(f"{name}: {one['Rule']['Id']} {one['Message']}")
    problems += list(_changed(found))
    lines = problems or [f"{len(PROJECTS)} templates of projects: nothing wrong where their types are"]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if problems else 0


def write_template(folder: Path, name: str) -> Path:
    """Write what CloudFormation gets of a project. Returns the path."""
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], **PROJECTS[name]})
    path = folder / f"{name}.json"
    path.write_text(json.dumps(translate_template(IMAGES, render_template(read_template(), config))))
    return path


def findings(path: Path) -> list[Json]:
    """What cfn-lint finds in a template, in all regions. E2530 looks for SnapStart without its condition."""
    command = (Path(sys.executable).with_name("cfn-lint"), "--regions", "ALL_REGIONS", "--ignore-checks", "E2530")
    done = subprocess.run([*command, "--format", "json", "--", path], capture_output=True, text=True, check=False)
    listed: list[Json] = json.loads(done.stdout)
    return listed


def _changed(found: Mapping[str, set[str]]) -> Iterator[str]:
    for kind in sorted(found.keys() | LACKING.keys()):
        known, now = LACKING.get(kind, frozenset[str]()), found.get(kind, set[str]())
        if known != now:
            yield f"{kind}: is said to be missing in {sorted(known)}, and is missing in {sorted(now)}"


if __name__ == "__main__":
    sys.exit(main())
