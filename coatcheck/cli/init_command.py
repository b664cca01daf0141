"""The command `coatcheck init`: makes a project that is the owner's."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Annotated
from unicodedata import normalize

import typer

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.client.text import printable

FILES: Mapping[str, str] = MappingProxyType(
    {
        "pyproject.toml": "name, dependencies, [tool.coatcheck]",
        "jobs/__init__.py": "",
        "jobs/words.py": "a job type and its handler: start here",
        "tests/test_words.py": "its test, which needs no server",
        "README.md": "the commands, with uv and with pip",
        ".gitignore": "",
        ".github/workflows/check.yml": "checks and tests each push",
    }
)
"""What is said of each file of a new project. Its text is the file of that name with `.tmpl` in `skeleton/`."""

MAX_NAME_LENGTH = 64

_DEPENDENCIES = frozenset(
    {
        *("coatcheck", "coatcheck-service", "coatcheck-worker", "coatcheck-infra", "pytest"),
        *("aioboto3", "aws-sam-translator", "boto3", "botocore", "fastapi", "fastapi-swagger", "h11", "httptools"),
        *("httpx", "isal", "mangum", "packaging", "pydantic", "pyyaml", "rich", "stamina", "starlette", "typer"),
        *("uv", "uvicorn", "watchfiles", "anyio", "click", "idna", "tenacity", "typing-extensions", "aiohttp"),
    }
)
"""What a project needs cannot be its name: an installer would take the project for it."""


def init(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of the project, which may exist.")],
) -> None:
    """Make a project of your own, with one job type and its test. No file is overwritten."""
    if not folder:
        # Path("") is the current folder, and an empty variable of a script does not mean that
        raise InvalidArgumentError("DIR is empty: name a folder, or . for this one")
    directory = Path(folder)
    # reading what is installed is for this command alone
    from importlib.metadata import version  # noqa: PLC0415

    # a floor has no local part: https://packaging.python.org/en/latest/specifications/version-specifiers/
    floor = version("coatcheck").partition("+")[0]
    texts = {path: _text(path, name=project_name(directory), version=floor) for path in FILES}
    _refuse_conflicts(directory)
    _write_all(directory, texts)
    print("\n".join(_report(directory)))  # noqa: T201 - the answer of the command


def project_name(directory: Path) -> str:
    """Make a name of that of a folder, for a distribution and a stack. Raises InvalidArgumentError if nothing fits.

    Both take ASCII letters, digits and hyphens. A distribution's does not end with a hyphen, a stack's begins with a
    letter (https://packaging.python.org/en/latest/specifications/name-normalization/,
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html).
    """
    # resolve() would follow a symbolic link, and the link has the name that the owner gave
    given = Path(os.path.abspath(directory)).name  # noqa: PTH100
    ascii_name = normalize("NFKD", given).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower())[:MAX_NAME_LENGTH].strip("-")
    if not name:
        raise InvalidArgumentError(
            f"{str(directory)!r} gives the project no name: name the folder with letters (a to z) or digits"
        )
    if name in _DEPENDENCIES:
        return f"{name}-jobs"
    return name if name[0].isalpha() else f"jobs-{name}"


def _text(path: str, **values: str) -> str:
    source = resources.files("coatcheck.cli").joinpath("skeleton", f"{path}.tmpl")
    return Template(source.read_text(encoding="utf-8")).substitute(values)


def _refuse_conflicts(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise InvalidArgumentError(f"{directory} is not a folder")
    # lexists: a symbolic link that leads nowhere is there, too
    there = [path for path in FILES if os.path.lexists(directory / path)]
    parents = {str(parent) for path in FILES for parent in Path(path).parents}
    there += [path for path in sorted(parents) if os.path.lexists(directory / path) and not (directory / path).is_dir()]
    if there:
        raise InvalidArgumentError(f"{directory} has {', '.join(there)} already; nothing was written")


def _write_all(directory: Path, texts: Mapping[str, str]) -> None:
    """Write the files, or leave none behind. Raises OSError."""
    with ExitStack() as undo:
        for path, text in texts.items():
            target = directory / path
            for folder in reversed([parent for parent in target.parents if not parent.exists()]):
                folder.mkdir()
                undo.callback(folder.rmdir)
            # x: a file that came in between is not overwritten
            with target.open("x", encoding="utf-8", newline="\n") as file:
                undo.callback(target.unlink)
                file.write(text)
        undo.pop_all()


def _report(directory: Path) -> Iterator[str]:
    width = max(map(len, FILES))
    for path, purpose in FILES.items():
        yield f"  {path:<{width}}  {purpose}".rstrip()
    enter = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(printable(directory))} && "
    yield f"Next: {enter}uv run coatcheck up"
