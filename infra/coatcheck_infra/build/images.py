"""Writes what container images of a project are built from: a folder with a Dockerfile for the API, one for the worker.

The folders hold all that an image has beside its base, installed and compiled as for Lambda's zips. So a Dockerfile
copies and runs nothing: building needs no network, no pip, and no machine of the image's architecture (docs/adr/0151).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from coatcheck_infra import container_programs
from coatcheck_infra.build.lambda_zips import start_build
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_specs import API_IMAGE, WORKER_IMAGE, ZipSpec, image_target
from coatcheck_infra.container_programs import ContainerProgram
from coatcheck_infra.project.config import Project

APP = "app"
"""The folder of a context that becomes /app of the image."""

ADAPTER = "/lambda-adapter"
"""The program in the image of the Lambda Web Adapter.

https://github.com/aws/aws-lambda-web-adapter/blob/main/docs/guide/src/getting-started/docker-images.md
"""

USER = "65532:65532"
"""Who runs in the image, by number: nobody who is in the base. The files of the image belong to root."""

_PYTHON_OF_BASE = re.compile(r"(?:^|/)python:(\d+\.\d+)")
"""The version in the name of an official image of Python. What other images have is not known from their names."""

EPOCH = 315532800
"""Seconds: 1980-01-01, as in the zips. The same files make the same layer."""


@dataclass(frozen=True)
class Image:
    """An image: what is in it, and what it runs."""

    spec: ZipSpec
    program: ContainerProgram

    @property
    def name(self) -> str:
        """`api` or `worker`."""
        return self.spec.name


API = Image(API_IMAGE, container_programs.API)
WORKER = Image(WORKER_IMAGE, container_programs.WORKER)


@dataclass(frozen=True)
class Contexts:
    """The folders to build images from, and the name of the lock that they are made from."""

    folders: Sequence[Path]
    lock: str


def build_contexts(project: Project, out: Path, write_line: Callable[[str], None]) -> Contexts:
    """Write the folders `api` and `worker` below `out`, from the project's lock, as `build_zips` makes zips.

    Raises BuildError, also if the project names no base image, or one with another Python.
    """
    config = project.config.containers
    if config.base is None:
        raise BuildError(
            "tool.coatcheck.containers.base is missing: name the image that yours are made on, with its digest, as "
            "python:3.13-slim-trixie@sha256:… (docs/containers.md says how to find it)"
        )
    python = project.config.python
    named = _PYTHON_OF_BASE.search(config.base)
    if named and named[1] != python:
        raise BuildError(
            f'tool.coatcheck.containers.base has Python {named[1]}, and tool.coatcheck.python is "{python}": '
            "name a base with that, or change python"
        )
    build = start_build(project, image_target(python, config.architecture), out, write_line)
    folders = []
    for image in (API, WORKER):
        archive = build.make(image.spec)
        adapter = project.config.api.adapter_image if image is API else None
        text = dockerfile(image, config.base, project.config.jobs, adapter)
        folders.append(write_context(archive, text, out / image.name))
    return Contexts(folders, build.lock.name)


def dockerfile(image: Image, base: str, job_modules: Sequence[str], adapter: str | None = None) -> str:
    """Return the Dockerfile of an image on `base`, which the build argument BASE replaces.

    `adapter` is the image of the Lambda Web Adapter, if this one is to run on Lambda, too: what is in /opt/extensions
    is started there, and nowhere else.
    """
    program = image.program
    extension = [f"COPY --from={adapter} {ADAPTER} /opt/extensions{ADAPTER}"] if adapter else []
    expose = [f"EXPOSE {program.port}"] if program.port else []
    lines = [
        f"ARG BASE={base}",
        "FROM ${BASE}",
        *extension,
        f"COPY {APP} /{APP}",
        f"WORKDIR /{APP}",
        # a home that nobody writes to: what a handler left there would configure the worker's AWS SDK
        f"ENV HOME=/{APP} PYTHONPATH=/{APP} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        f"ENV COATCHECK_LOG=json COATCHECK_JOBS={','.join(job_modules)}",
        # where a container's own files are read-only, this one folder is not
        "VOLUME /tmp",
        f"USER {USER}",
        *expose,
        "STOPSIGNAL SIGTERM",
        f"HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD {_words(program.health_check)}",
        f"ENTRYPOINT {_words(program.entrypoint)}",
        f"CMD {_words(program.arguments)}",
    ]
    return "".join(f"{line}\n" for line in lines)


def write_context(archive: Path, text: str, folder: Path) -> Path:
    """Write a Dockerfile and the unpacked archive to `folder`, which appears whole or not at all. Returns it."""
    making = folder.with_name(f".making-{folder.name}")
    shutil.rmtree(making, ignore_errors=True)
    with ZipFile(archive) as opened:
        opened.extractall(making / APP)
    for path in (making / APP).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH, EPOCH))
    (making / "Dockerfile").write_text(text)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return folder


def _words(words: Sequence[str]) -> str:
    return json.dumps([*words])
