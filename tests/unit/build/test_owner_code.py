"""Which of the project's files go into the zips, and what is wrong with their imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck_infra.build import zip_files
from coatcheck_infra.build.imports import FoundImport, find_imports
from coatcheck_infra.build.owner_code import OwnerCode, owner_code
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_checks import find_faults
from coatcheck_infra.build.zip_specs import LOCAL, ZipSpec
from tests.unit.build.owner_project import WORDS, make_project

REFERENCE = 'FIVE = JobType("text.five", Words, Words, handler="handlers.five:run")\n'
API = ZipSpec("api", packages=(), groups=(), handlers=(), runs_jobs=False)
JOBS = ZipSpec("jobs", packages=("coatcheck",), groups=("handlers",), handlers=(), runs_jobs=True)


def paths(code: OwnerCode) -> set[str]:
    return {str(file.path) for file in code.files}


def test_the_packages_of_the_job_types_go_whole(tmp_path: Path) -> None:
    files = {
        "jobs/data/words.txt": "the data",
        "jobs/py.typed": "",
        "jobs/other.py": "",
        "jobs/tests/test_words.py": "",
        "jobs/.env": "SECRET=1",
        "jobs/__pycache__/words.cpython-311.pyc": "",
        "tests/test_words.py": "",
        ".venv/lib/other.py": "",
        "setup.py": "",
        "unrelated/__init__.py": "",
    }
    code = owner_code(make_project(tmp_path, files), local=False)
    assert paths(code) == {"jobs/__init__.py", "jobs/words.py", "jobs/other.py", "jobs/data/words.txt", "jobs/py.typed"}
    assert code.packages == {"jobs"}


def test_what_they_import_of_the_projects_root_goes_too(tmp_path: Path) -> None:
    files = {
        "jobs/words.py": f"import shared.names\nfrom tests import samples\n{WORDS}{REFERENCE}",
        "shared/__init__.py": "",
        "shared/names.py": "def later():\n    from single import module\n",
        "single.py": "import build, coatcheck\n",
        "build/lambda/service.zip": "not a package",
        "coatcheck/__init__.py": "not ours, nor theirs",
        "handlers/five.py": "from optional_part import x\ndef run(given, ctx): ...\n",
        "optional_part/x.py": "",
        "tests/samples.py": "",
    }
    make_project(tmp_path, files)
    (tmp_path / "coatcheck" / "__init__.py").unlink()
    code = owner_code(make_project(tmp_path, {"jobs/words.py": files["jobs/words.py"]}), local=False)
    assert paths(code) == {
        *("jobs/__init__.py", "jobs/words.py", "shared/__init__.py", "shared/names.py", "single.py"),
        *("handlers/five.py", "optional_part/x.py"),
    }
    assert code.handler_modules == ["handlers.five"]


def test_job_types_that_are_served_locally_are_not_deployed(tmp_path: Path) -> None:
    files = {"demo/shown.py": WORDS.replace("text.words", "demo.shown")}
    make_project(tmp_path, files)
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write('[tool.coatcheck.local]\njobs = ["demo.shown"]\n')
    project = make_project(tmp_path, {"pyproject.toml": (tmp_path / "pyproject.toml").read_text()})
    assert owner_code(project, local=False).packages == {"jobs"}
    assert owner_code(project, local=True).packages == {"jobs", "demo"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^jobs/broken\.py: invalid syntax"):
        owner_code(make_project(tmp_path, {"jobs/broken.py": "def :\n"}), local=False)
    with pytest.raises(BuildError, match=r"^jobs/words\.py:1: ValueError|^jobs/words\.py:1: no"):
        owner_code(make_project(tmp_path, {"jobs/words.py": "raise ValueError('no')\n"}), local=False)


def test_imports_are_found_without_running_them() -> None:
    source = """\
import a.b
from .near import x
from ..far import y
from c import d
if TYPE_CHECKING:
    import never
try:
    import fast
except ImportError:
    import slow
def later():
    import e
"""
    assert list(find_imports(source, "top.inner", {"c.d"})) == [
        FoundImport("a.b", 1),
        FoundImport("top.inner.near", 2),
        FoundImport("top.far", 3),
        FoundImport("c", 4),
        FoundImport("c.d", 4),
        FoundImport("fast", 8, optional=True),
        FoundImport("slow", 10, optional=True),
        FoundImport("e", 12, in_function=True),
    ]


def faults(folder: Path, spec: ZipSpec, words: str) -> list[str]:
    code = owner_code(make_project(folder / "project", {"jobs/words.py": WORDS + words}), local=False)
    zip_files.copy(code.files, folder / "stage")
    for name in ("pydantic.py", "coatcheck/__init__.py"):
        (folder / "stage" / name).parent.mkdir(exist_ok=True)
        (folder / "stage" / name).touch()
    zip_files.write(folder / "made.zip", folder / "stage", "")
    return find_faults(folder / "made.zip", spec, LOCAL, code)


def test_the_api_needs_what_is_imported_at_once_and_the_worker_all(tmp_path: Path) -> None:
    late = "def use():\n    import numpy\ntry:\n    import orjson\nexcept ImportError:\n    orjson = None\n"
    assert faults(tmp_path, API, late) == []
    (fault,) = faults(tmp_path, JOBS, late)
    assert fault == (
        "jobs/words.py:11 imports numpy, which is not in the zip: "
        "name what brings it in [dependency-groups] handlers of pyproject.toml"
    )


def test_the_client_is_in_no_zip(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, JOBS, "from coatcheck import Result, Client\n")
    assert fault.startswith("jobs/words.py:10 imports coatcheck.Client, which is not in the zip: the client ")
