"""Models that are built when they are first used."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from coatcheck.core.deferred_model import DeferredModel

UNUSED = """
import sys
from pydantic import BaseModel
from coatcheck.core.deferred_model import DeferredModel
import coatcheck.core.api.models, coatcheck_worker.protocol, coatcheck.core.messages
def below(model):
    for one in model.__subclasses__():
        yield one
        yield from below(one)
print(*[model.__name__ for model in below(DeferredModel) if model.__pydantic_complete__])
"""


def test_a_start_builds_none_of_them() -> None:
    built = subprocess.run([sys.executable, "-c", UNUSED], check=True, capture_output=True, text=True).stdout.split()
    assert built == []


@pytest.mark.parametrize("_", range(20))
def test_threads_may_use_one_first_at_the_same_time(_: int) -> None:
    class Part(DeferredModel):
        number: int

    class Whole(DeferredModel):
        parts: list[Part]

    threads = 8
    together = threading.Barrier(threads)

    def use(number: int) -> tuple[int, str]:
        together.wait()
        read = Whole.model_validate({"parts": [{"number": number}]})
        return read.parts[0].number, Part(number=number).model_dump_json()

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(use, range(threads))) == [(n, f'{{"number":{n}}}') for n in range(threads)]


def test_what_is_wrong_is_refused_at_the_first_use() -> None:
    class Strict(DeferredModel):
        number: int

    with pytest.raises(ValidationError):
        Strict.model_validate({"number": "x"})
