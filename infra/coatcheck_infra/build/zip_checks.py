"""Finds what is wrong with a zip before Lambda does."""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from coatcheck_infra.build.toolchain import BuildError, run
from coatcheck_infra.build.zip_specs import Target, ZipSpec

UNPACKED_LIMIT = 250 * 1024 * 1024
"""Bytes of unpacked code that Lambda allows a function."""

AARCH64 = 183
"""64-bit ARM, as in the header of an ELF file (e_machine)."""

UNCHECKED_HASH = (1).to_bytes(4, "little")
"""The flags of a .pyc that is trusted without a check of its source (PEP 552)."""

ENVIRONMENT = {
    "COATCHECK_TABLE": "none",
    "COATCHECK_BUCKET": "none",
    "COATCHECK_QUEUES": '{"default": "none", "heavy": "none", "webhooks": "none"}',
    "COATCHECK_DEAD_LETTERS": '{"default": "none", "heavy": "none", "webhooks": "none"}',
    "COATCHECK_WEBHOOK_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
"""The environment in which a handler is imported. It needs one: the API is made on import, for SnapStart's snapshot."""

IMPORT = """\
import importlib, sys
sys.path.insert(0, sys.argv[1])
for handler in sys.argv[2:]:
    module, _, name = handler.rpartition(".")
    if not callable(getattr(importlib.import_module(module), name)):
        raise TypeError(f"{handler} cannot be called")
"""


def check_zip(path: Path, spec: ZipSpec, target: Target) -> None:
    """Raise BuildError with the reasons if the zip would not run on its target."""
    if target.platform is None:
        import_handlers(path, spec)
    elif found := find_faults(path, spec, target):
        raise BuildError("\n".join([f"{path.name} would not run:", *found]))


def import_handlers(path: Path, spec: ZipSpec) -> None:
    """Import the zip's handlers in an interpreter that sees only the unpacked zip and the standard library.

    Works only for a zip made for this machine. Raises BuildError with the traceback.
    """
    with tempfile.TemporaryDirectory(prefix="coatcheck-import-") as unpacked, ZipFile(path) as archive:
        archive.extractall(unpacked)
        alone = ["env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]
        run([*alone, sys.executable, "-I", "-S", "-B", "-c", IMPORT, unpacked, *spec.handlers], cwd=Path(unpacked))


def find_faults(path: Path, spec: ZipSpec, target: Target) -> list[str]:
    """Return one line for each fault in a zip for Lambda, found without running any of its code."""
    with ZipFile(path) as archive:
        return [
            *_too_large(archive),
            *_wrong_libraries(archive, target),
            *_wrong_bytecode(archive, target),
            *_missing_imports(archive, spec),
        ]


def _too_large(archive: ZipFile) -> Iterator[str]:
    size = sum(info.file_size for info in archive.infolist())
    if size > UNPACKED_LIMIT:
        yield f"unpacks to {size:,} bytes; Lambda allows {UNPACKED_LIMIT:,}"


def _wrong_libraries(archive: ZipFile, target: Target) -> Iterator[str]:
    for name in archive.namelist():
        if ".so" in PurePosixPath(name).suffixes:
            with archive.open(name) as library:
                header = library.read(20)
            if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != AARCH64:
                yield f"{name}: not a library for 64-bit ARM"
            elif ".cpython-" in name and f".{_tag(target)}-" not in name:
                yield f"{name}: not for Python {target.python}"


def _wrong_bytecode(archive: ZipFile, target: Target) -> Iterator[str]:
    names = set(archive.namelist())
    for name in sorted(name for name in names if name.endswith(".py")):
        source = PurePosixPath(name)
        compiled = str(source.parent / "__pycache__" / f"{source.stem}.{_tag(target)}.pyc")
        if compiled not in names:
            yield f"{name}: not compiled for Python {target.python}"
        elif archive.read(compiled)[:8] != target.magic + UNCHECKED_HASH:
            yield f"{compiled}: Python {target.python} would compile it again"


def _tag(target: Target) -> str:
    return f"cpython-{target.python.replace('.', '')}"


def _missing_imports(archive: ZipFile, spec: ZipSpec) -> Iterator[str]:
    """Follow the imports of our own modules from the handlers on, including imports inside functions."""
    files = {_module(name): name for name in archive.namelist()}
    todo = [handler.rpartition(".")[0] for handler in spec.handlers]
    yield from (f"{module}: not in the zip" for module in todo if module not in files)
    seen = set(todo)
    own = {PurePosixPath(package).name for package in spec.packages}
    while todo:
        module = todo.pop()
        if module.partition(".")[0] not in own or module not in files:
            continue
        for wanted in _imports(archive.read(files[module]).decode(), files):
            if wanted.partition(".")[0] not in sys.stdlib_module_names and wanted not in files:
                yield f"{files[module]}: imports {wanted}, which is not in the zip"
            elif wanted not in seen:
                seen.add(wanted)
                todo.append(wanted)


def _imports(source: str, files: Iterable[str]) -> Iterator[str]:
    for node in _run_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (module for alias in node.names if (module := f"{node.module}.{alias.name}") in files)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node except those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _run_nodes(node)


def _module(name: str) -> str:
    """Return the module name of a file of the zip: a/b.py, a/b/__init__.py and a/b.cpython-….so are all a.b."""
    path = PurePosixPath(name)
    stem = path.name.partition(".")[0]
    return ".".join(path.parent.parts if stem == "__init__" else (*path.parent.parts, stem))
