"""Finds what is wrong with a zip before Lambda does."""

from __future__ import annotations

import ast
import functools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import coatcheck
from coatcheck.core.settings import WEBHOOKS
from coatcheck_infra.build.imports import find_imports
from coatcheck_infra.build.owner_code import OwnerCode
from coatcheck_infra.build.programs import BuildError, CommandError, run
from coatcheck_infra.build.zip_specs import Target, ZipSpec
from coatcheck_infra.project.config import Project

ELF_MACHINES = {"arm64": (183, "64-bit ARM"), "x86_64": (62, "x86-64")}
"""What the header of an ELF file says (e_machine), and the name that a person knows, by the machine of a target."""

UNCHECKED_HASH = (1).to_bytes(4, "little")
"""The flags of a .pyc that is trusted without a check of its source (PEP 552)."""

IMPORT = """\
import importlib, sys
unpacked, modules, *handlers = sys.argv[1:]
sys.path.insert(0, unpacked)
for handler in handlers:
    module, _, name = handler.rpartition(".")
    if not callable(getattr(importlib.import_module(module), name)):
        raise TypeError(f"{handler} cannot be called")
for module in filter(None, modules.split(",")):
    importlib.import_module(module)
"""


def check_zip(path: Path, spec: ZipSpec, target: Target, project: Project, code: OwnerCode) -> None:
    """Raise BuildError with the reasons, one a line, if the zip would not run on its target."""
    faults = find_faults(path, spec, target, code, layers=bool(project.config.handlers.layers))
    if faults:
        raise BuildError("\n".join([f"{path.name} would not run:", *faults]))
    if target.platform is None:
        import_modules(path, spec, function_environment(project, code), code)


def function_environment(project: Project, code: OwnerCode) -> dict[str, str]:
    """Return an environment in which the functions can be imported: they read it when they are.

    None of its AWS resources exist.
    """
    queues = json.dumps(dict.fromkeys([WEBHOOKS, *project.config.lanes], "none"))
    return {
        # what a function loads later is loaded at once
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "COATCHECK_TABLE": "none",
        "COATCHECK_BUCKET": "none",
        "COATCHECK_QUEUES": queues,
        "COATCHECK_DEAD_LETTERS": queues,
        "COATCHECK_WEBHOOK_KEY": "none",
        "COATCHECK_JOBS": ",".join(code.job_modules),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }


def import_modules(path: Path, spec: ZipSpec, environment: Mapping[str, str], code: OwnerCode) -> None:
    """Import the zip's modules in an interpreter that sees only the unpacked zip and the standard library.

    That are those of its handlers, of the job types, and those that the worker imports for them. Works only for a zip
    made for this machine. Raises BuildError with the reason.
    """
    modules = ",".join([*code.job_modules, *(code.handler_modules if spec.runs_jobs else ())])
    with tempfile.TemporaryDirectory(prefix="coatcheck-import-") as unpacked, ZipFile(path) as archive:
        archive.extractall(unpacked)
        alone = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        command = [*alone, sys.executable, "-I", "-S", "-B", "-c", IMPORT, unpacked, modules, *spec.handlers]
        try:
            run(command, cwd=Path(unpacked))
        except CommandError as failed:
            raise BuildError(f"{path.name} would not run: {failed.said.splitlines()[-1]}") from failed


def find_faults(path: Path, spec: ZipSpec, target: Target, code: OwnerCode, *, layers: bool = False) -> list[str]:
    """Return one line for each fault in a zip, found without running any of its code.

    What the worker imports may also come from its `layers`, which are not looked into.
    """
    with ZipFile(path) as archive:
        missing = [] if layers and spec.runs_jobs else _missing_imports(archive, spec, code)
        if target.platform is None:
            return [*missing]
        return [
            *_too_large(archive, target),
            *_wrong_libraries(archive, target),
            *_wrong_bytecode(archive, target),
            *missing,
        ]


def _too_large(archive: ZipFile, target: Target) -> Iterator[str]:
    limit = target.unpacked_limit
    sizes: Counter[str] = Counter()
    for info in archive.infolist():
        sizes[info.filename.partition("/")[0]] += info.file_size
    if limit is not None and sizes.total() > limit:
        largest = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.most_common(3))
        yield f"unpacks to {sizes.total():,} bytes; Lambda allows {limit:,}. The largest: {largest}"


def _wrong_libraries(archive: ZipFile, target: Target) -> Iterator[str]:
    number, known_as = ELF_MACHINES[target.machine]
    for name in archive.namelist():
        if ".so" in PurePosixPath(name).suffixes:
            with archive.open(name) as library:
                header = library.read(20)
            if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != number:
                yield f"{name}: not a library for {known_as}"
            elif ".cpython-" in name and f".{_tag(target)}-" not in name:
                yield f"{name}: not for Python {target.python}"


def _wrong_bytecode(archive: ZipFile, target: Target) -> Iterator[str]:
    names = set(archive.namelist())
    for name in sorted(name for name in names if name.endswith(".py")):
        source = PurePosixPath(name)
        compiled = str(source.parent / "__pycache__" / f"{source.stem}.{_tag(target)}.pyc")
        if compiled not in names:
            if _is_python(archive.read(name)):
                yield f"{name}: not compiled for Python {target.python}"
        elif archive.read(compiled)[:8] != target.magic + UNCHECKED_HASH:
            yield f"{compiled}: Python {target.python} would compile it again"


def _is_python(source: bytes) -> bool:
    """Whether the source of a .py can be compiled: that of a template cannot."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _tag(target: Target) -> str:
    return f"cpython-{target.python.replace('.', '')}"


def _missing_imports(archive: ZipFile, spec: ZipSpec, code: OwnerCode) -> Iterator[str]:
    """Follow the imports of our own modules and the project's, from those that a function begins with.

    A function of the project's is run by the worker alone: the API needs only what its modules import at once.
    """
    files = {_module(name): name for name in archive.namelist()}
    # a folder without __init__.py can be imported as well
    files = {folder: "" for module in files for folder in _parents(module)} | files
    starts = [handler.rpartition(".")[0] for handler in spec.handlers]
    todo = [*starts, *code.job_modules, *(code.handler_modules if spec.runs_jobs else ())]
    yield from (f"{module}: not in the zip" for module in todo if module not in files)
    seen = set(todo)
    own = {*spec.packages, *code.packages}
    while todo:
        module = todo.pop()
        top = module.partition(".")[0]
        name = files.get(module, "")
        if top not in own or not name.endswith(".py"):
            continue
        for one in find_imports(archive.read(name).decode(), _package(name), {*files, *_client_names()}):
            if one.module in seen or (one.in_function and top in code.packages and not spec.runs_jobs):
                continue
            if _is_there(one.module, files, own):
                found = [one.module, *_parents(one.module)]
                todo += [module for module in found if module not in seen]
                seen.update(found)
            elif not one.optional:
                remedy = _remedy(one.module, spec) if top in code.packages else ""
                yield f"{name}:{one.line} imports {one.module}, which is not in the zip{remedy}"


def _is_there(module: str, files: Container[str], own: Container[str]) -> bool:
    """Whether `module` can be imported: of packages of other makers, which may make modules as they run, any module."""
    top = module.partition(".")[0]
    return module in files or top in sys.stdlib_module_names or (top in files and top not in own)


def _parents(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


def _remedy(module: str, spec: ZipSpec) -> str:
    if module in _client_names():
        return ": the client of the API is for other programs"
    if spec.runs_jobs:
        return ": name what brings it in [dependency-groups] handlers of pyproject.toml"
    return ": import it inside the handler, or name what brings it in [project] dependencies of pyproject.toml"


@functools.cache
def _client_names() -> frozenset[str]:
    """Return the names of `coatcheck` that are in no zip, as modules: `coatcheck.Client`."""
    return frozenset(
        f"coatcheck.{name}"
        for name in coatcheck.__all__
        if str(getattr(getattr(coatcheck, name), "__module__", "")).startswith("coatcheck.client.")
    )


def _package(name: str) -> str:
    return ".".join(PurePosixPath(name).parent.parts)


def _module(name: str) -> str:
    """Return the module name of a file of the zip: a/b.py, a/b/__init__.py and a/b.cpython-….so are all a.b."""
    path = PurePosixPath(name)
    stem = path.name.partition(".")[0]
    return ".".join(path.parent.parts if stem == "__init__" else (*path.parent.parts, stem))
