"""Mapping templates of API Gateway, rendered by a public implementation of their language under Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.repository import ROOT

SCRIPT = ROOT / "tests" / "node" / "mapping_templates.mjs"
LIBRARIES = ROOT / ".coatcheck" / "node"


class TemplateError(Exception):
    """The template cannot be rendered with these values: API Gateway answers 500."""


@dataclass(frozen=True)
class Rendered:
    """What a template has made, and the headers that it has set."""

    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class MappingTemplates:
    """The process that renders them."""

    process: subprocess.Popen[str]

    def render(self, template: str, *, body: str, **variables: Any) -> Rendered:
        """Render a template with a body, `headers`, `context` and `stageVariables`. Raises TemplateError."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"template": template, "body": body, **variables}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise TemplateError(answer["error"])
        return Rendered(answer["text"], answer["headers"])


@contextmanager
def mapping_templates(folder: Path) -> Iterator[MappingTemplates]:
    """Start the process, with a copy of its script in an empty folder, until the block ends."""
    node = shutil.which("node")
    assert node, "the tests need Node 20 or newer: there is no `node` on PATH"
    assert (LIBRARIES / ".ready").exists(), "the JavaScript libraries are missing: run `make .coatcheck/node/.ready`"
    (folder / "node_modules").symlink_to(LIBRARIES / "node_modules")
    shutil.copy(SCRIPT, folder)
    command = (node, folder / SCRIPT.name)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield MappingTemplates(process)
        finally:
            process.kill()
