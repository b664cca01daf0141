"""Owners' projects with tiny wheels of their own, for tests of the build: nothing is asked of an index."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

from coatcheck_infra.project.config import Project, find_project

PYPROJECT = """\
[project]
name = "words"
version = "1"
requires-python = ">=3.11"
dependencies = [{dependencies}]

[dependency-groups]
handlers = [{handlers}]

[tool.uv]
package = false
no-index = true
find-links = ["wheels"]

[tool.coatcheck]
jobs = ["jobs.words"]
"""
WORDS = """\
from pydantic import BaseModel
from coatcheck import Context, JobType, job

class Words(BaseModel):
    words: int

@job("text.words")
def words(given: Words, ctx: Context) -> Words:
    return given
"""


def make_project(
    root: Path, files: Mapping[str, str] | None = None, *, dependencies: str = "", handlers: str = ""
) -> Project:
    """Make a project with one job type, in `jobs/words.py`, and these files. The lists are as in TOML."""
    pyproject = PYPROJECT.format(dependencies=dependencies, handlers=handlers)
    own = {"pyproject.toml": pyproject, "jobs/__init__.py": "", "jobs/words.py": WORDS}
    for name, text in {**own, **(files or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "wheels").mkdir(exist_ok=True)
    return find_project(root)


def add_wheel(root: Path, name: str, version: str, tag: str = "py3-none-any", requires: str = "") -> Path:
    """Put a wheel, with one module of its name, where the project's uv looks for wheels."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    path = root / "wheels" / f"{name}-{version}-{tag}.whl"
    with ZipFile(path, "w") as archive:
        for name_in_wheel, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name_in_wheel, text)
    return path


@contextmanager
def package_index(root: Path) -> Iterator[str]:
    """Serve the wheels of the project as a package index (PEP 503), and yield its URL.

    A uv.lock has hashes of wheels from an index alone.
    """
    for wheel in (root / "wheels").glob("*.whl"):
        page = root / "index" / wheel.name.partition("-")[0] / "index.html"
        page.parent.mkdir(parents=True)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        page.write_text(f'<a href="/wheels/{wheel.name}#sha256={digest}">{wheel.name}</a>')
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=root)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base class names it
        """Say nothing."""


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
