"""Job types are found in the modules of a project. What is wrong with one is said in one line that says where."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck.authoring.loading import JobTypeError, check_handler, declarations, load_handlers, load_job_types

HEAD = """\
from pydantic import BaseModel
from coatcheck import Context, JobType, job

class Text(BaseModel):
    text: str

class Words(BaseModel):
    words: int

"""
WORDS = """\
@job("text.words")
def words(given: Text, ctx: Context) -> Words:
    return Words(words=1)
"""

Write = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules below the working directory, which is on the import path. Returns their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write_modules(**sources: str) -> list[str]:
        for name, source in sources.items():
            monkeypatch.delitem(sys.modules, name, raising=False)
            (tmp_path / f"{name}.py").write_text(source)
        return list(sources)

    return write_modules


def test_each_job_type_of_a_module_is_found_once(write: Write) -> None:
    modules = write(
        a_jobs=HEAD + WORDS + 'OTHER = JobType("text.other", Text, Words, handler="a_handlers:run")\nalias = words\n',
        b_jobs="from a_jobs import words\n",
    )
    found = declarations(modules)
    assert [one.job_type.name for one in found] == ["text.words", "text.other"]
    assert [one.where for one in found] == ["a_jobs.py:10", "a_jobs.py:13"]


def test_a_handler_that_is_named_is_imported_by_the_worker_alone(write: Write) -> None:
    modules = write(
        c_jobs=HEAD + 'OTHER = JobType("text.other", Text, Words, handler="c_handlers:run")\n',
        c_handlers="from c_jobs import *\ndef run(given: Text, ctx: Context) -> Words:\n    return Words(words=2)\n",
    )
    catalog = load_job_types(modules[:1])
    assert "c_handlers" not in sys.modules
    handlers = load_handlers(catalog)
    assert handlers["text.other"].job_type is catalog["text.other"]
    assert handlers["text.other"].run.__module__ == "c_handlers"
    check_handler(catalog["text.other"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HEAD + WORDS + WORDS.replace("def words", "def b"), "d_jobs.py:13 text.words: is declared in d_jobs.py:10"),
        (HEAD + WORDS.replace("text.words", "coatcheck.mine"), "d_jobs.py:10 coatcheck.mine: names with coatcheck"),
        (HEAD + WORDS.replace("text.words", "Text"), "d_jobs.py:10: 'Text' is no job type name: dotted"),
        (HEAD + WORDS.replace(" -> Words", ""), "d_jobs.py:10: text.words: annotate what it returns"),
        ("import nowhere", "d_jobs.py:1: No module named 'nowhere': install what provides it, and name it in the dep"),
        ("x = (", r"d_jobs.py:1: '\(' was never closed"),
        ("def f():\n    raise KeyError('a\\nb')\nf()", r"d_jobs.py:2: KeyError: 'a\\nb'"),
        ("raise SystemExit(3)", "d_jobs.py:1: SystemExit: 3"),
        ("raise ValueError('first\\nsecond')", "d_jobs.py:1: first second"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write: Write, source: str, message: str) -> None:
    with pytest.raises(JobTypeError, match=f"^{message}") as raised:
        load_job_types(write(d_jobs=source))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("module", ["jobs_of_nobody", "jobs_of_nobody.words"])
def test_a_module_that_is_not_there_is_named(module: str) -> None:
    with pytest.raises(JobTypeError, match=rf"^there is no module {module}: correct `jobs` in \[tool.coatcheck\]$"):
        load_job_types([module])


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (None, "text.other: has no handler"),
        ("e_nowhere:run", 'there is no module e_nowhere: correct handler="e_nowhere:run" of text.other'),
        ("e_jobs:run", "text.other: its handler e_jobs:run is no function"),
        ("e_jobs:Text", "text.other: the handler must take two arguments"),
        ("e_jobs:number", "text.other returns int, its type says Words"),
        ("e_jobs:other_input", "text.other takes Words, its type says Text"),
    ],
)
def test_a_handler_that_does_not_fit_is_found(write: Write, handler: str | None, message: str) -> None:
    source = f"""{HEAD}
def number(given: Text, ctx: Context) -> int: ...
def other_input(given: Words, ctx: Context) -> Words: ...
OTHER = JobType("text.other", Text, Words, handler={handler!r})
"""
    catalog = load_job_types(write(e_jobs=source))
    with pytest.raises(JobTypeError, match=f"^{message}"):
        check_handler(catalog["text.other"])
