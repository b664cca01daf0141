"""Lints the templates of projects for every region: `python -m tests.region_lint FOLDER`, a part of `make validate`.

Three of them have together what any has, and are linted for all regions; the others for one, which is quicker.
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
from collections.abc import Iterable, Iterator, Mapping
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
ADAPTER_IMAGE = f"public.ecr.aws/awsguru/aws-lambda-adapter:1.1.0@sha256:{'0' * 64}"
KINDS_OF_LANES = {
    "heavy": {"kind": "container", "cpu": 4, "memory": 16384},
    "long": {"kind": "lambda-managed"},
    "quick": {},
}

IN_ALL_REGIONS: Mapping[str, Json] = {
    "rest-and-function-url": {
        "api": {"front-door": "rest+function-url", "streaming": True, "authorizer": True},
        "lanes": KINDS_OF_LANES,
        "handlers": {"vpc": VPC},
        "containers": CONTAINERS,
    },
    "cloudfront": {"api": {"front-door": "function-url", "streaming": True, "cloudfront": True}},
    "api-in-containers": {
        "api": {"front-door": "alb"},
        "containers": {**CONTAINERS, "services": ["api"], "vpc": "vpc-0a1b2c3d"},
    },
}
"""What each project has in its settings, by the name of its template. Together they have all that one can have."""

IN_ONE_REGION: Mapping[str, Json] = {
    "rest": {},
    "function-url": {"api": {"front-door": "function-url"}},
    "alb": {"api": {"front-door": "alb"}},
    "function-as-an-image": {"api": {"front-door": "function-url", "streaming": True, "web-adapter": ADAPTER_IMAGE}},
}
"""Projects that have no type and no property that those above do not have: that is checked."""

OF_IMAGES = frozenset({("AWS::Lambda::Function", "PackageType"), ("AWS::Lambda::Function", "Code", "ImageUri")})
"""What a function has that is an image, but for what is checked in all regions: cfn-lint takes minutes for those."""

REGION = "us-east-1"

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
    everywhere = {name: translated(settings) for name, settings in IN_ALL_REGIONS.items()}
    here = {name: translated(settings) for name, settings in IN_ONE_REGION.items()}
    # as SAM reads it, which the checks of template.yaml alone do not show of what a project adds
    here["rest-and-function-url-of-sam"] = rendered(IN_ALL_REGIONS["rest-and-function-url"])
    regions = {**dict.fromkeys(everywhere, "ALL_REGIONS"), **dict.fromkeys(here, REGION)}
    templates = everywhere | here
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        linted = pool.map(lambda name: findings(folder / f"{name}.json", templates[name], regions[name]), templates)
        by_template = dict(zip(templates, linted, strict=True))
    lacking: dict[str, set[str]] = defaultdict(set)
    problems = [f"only in one region is linted: {' '.join(one)}" for one in sorted(not_in(everywhere, here))]
    for name, listed in by_template.items():
        for one in listed:
            missing = _TYPE_AND_REGIONS.search(one["Message"]) if one["Rule"]["Id"] == NO_SUCH_TYPE else None
            if missing:
                lacking[missing[1]].update(re.findall(r"[a-z]{2,4}-[a-z-]+-\d", missing[2]))
            else:
                problems.append(f"{name}: {one['Rule']['Id']} {one['Message']}")
    problems += _changed(lacking)
    lines = problems or [f"{len(templates)} templates of projects: nothing wrong where their types are"]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if problems else 0


def rendered(settings: Json) -> Json:
    """Return the template of a project with these settings."""
    return render_template(read_template(), ProjectConfig.model_validate({"jobs": ["jobs.words"], **settings}))


def translated(settings: Json) -> Json:
    """Return what CloudFormation gets of a project with these settings."""
    return translate_template(IMAGES, rendered(settings))


def findings(path: Path, template: Json, regions: str) -> list[Json]:
    """What cfn-lint finds in `template`, which is written to `path`. E2530 looks for SnapStart without a condition."""
    path.write_text(json.dumps(template))
    command = (Path(sys.executable).with_name("cfn-lint"), "--regions", regions, "--ignore-checks", "E2530")
    done = subprocess.run([*command, "--format", "json", "--", path], capture_output=True, text=True, check=False)
    listed: list[Json] = json.loads(done.stdout)
    return listed


def not_in(everywhere: Mapping[str, Json], here: Mapping[str, Json]) -> set[tuple[str, ...]]:
    """Return the properties, each after its type, that templates `here` have and none `everywhere` has."""
    of_cloudformation = [one for one in here.values() if "Transform" not in one]
    return _properties(of_cloudformation) - _properties(everywhere.values()) - OF_IMAGES


def _properties(templates: Iterable[Json]) -> set[tuple[str, ...]]:
    return {
        (resource["Type"], *path)
        for template in templates
        for resource in template["Resources"].values()
        for path in _paths(resource.get("Properties", {}), levels=2)
    }


def _paths(value: Any, levels: int) -> Iterator[tuple[str, ...]]:
    """Yield the names of properties down to a level, in all branches of conditions, and nothing of other functions."""
    if isinstance(value, dict) and levels:
        for key, inner in value.items():
            if key == "Fn::If":
                yield from _paths(inner, levels)
            elif key != "Ref" and not key.startswith("Fn::"):
                yield from ((key, *path) for path in ((), *_paths(inner, levels - 1)))
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, levels)


def _changed(found: Mapping[str, set[str]]) -> Iterator[str]:
    for kind in sorted(found.keys() | LACKING.keys()):
        known, now = LACKING.get(kind, frozenset[str]()), found.get(kind, set[str]())
        if known != now:
            yield f"{kind}: is said to be missing in {sorted(known)}, and is missing in {sorted(now)}"


if __name__ == "__main__":
    sys.exit(main())
