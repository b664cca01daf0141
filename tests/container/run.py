"""`python -m tests.container.run`: builds the images of the example, and runs them in a Debian root without a network.

There need be no container runtime. The Dockerfiles' own instructions are carried out on a root that is made from
Debian's packages, which stands for the base image. Needs Linux, the rights of root, mmdebstrap, and the network until
the images are built.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from coatcheck_infra.build.images import build_contexts
from coatcheck_infra.project.config import Project, find_project
from tests.container.rootfs import build_image, make_base
from tests.container.runtime import size_of
from tests.repository import ROOT

NEEDED = ("mmdebstrap", "unshare", "nsenter", "chroot", "ip")
STAND_IN = f"debian-with-python:3.13@sha256:{'0' * 64}"
"""The base image that the Dockerfiles name here: what stands for it is made, not pulled."""

ALONE = 'ip link set lo up && exec "$@"'


def proved_project() -> Project:
    """The example as an owner would build it for this machine, with the job types that are for trying things."""
    project = find_project(ROOT)
    config = project.config
    containers = config.containers.model_copy(update={"base": STAND_IN, "architecture": platform.machine()})
    jobs = [*config.jobs, *config.local.jobs]
    return replace(project, config=config.model_copy(update={"containers": containers, "jobs": jobs}))


def main() -> int:
    """Build, run, and say what was found. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.container.run", description=__doc__)
    parser.add_argument("--base", type=Path, default=ROOT / "build" / "container-base", help="where the root is kept")
    options = parser.parse_args()
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        sys.exit(f"needs {', '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("needs the rights of root, to make roots and namespaces")
    say = sys.stdout.write
    if not options.base.exists():
        say("making a Debian root\n")
        make_base(options.base)
    project = proved_project()
    made = build_contexts(project, ROOT / "build" / "container", print)
    # on the same disk as the base, whose files are shared
    with tempfile.TemporaryDirectory(dir=options.base.parent, prefix="container-") as scratch:
        files = []
        for context in made.folders:
            image = build_image(context, options.base, Path(scratch, context.name))
            say(f"image {context.name}: /app has {size_of(image.root, '/app') / 1e6:.0f} MB\n")
            files.append(image.save(Path(scratch, f"{context.name}.json")))
        sys.stdout.flush()
        inside = [sys.executable, "-m", "tests.container.journey", *map(str, files)]
        return subprocess.run(["unshare", "--net", "sh", "-c", ALONE, "sh", *inside], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
