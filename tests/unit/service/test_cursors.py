"""Cursors are good for whoever was given them, in the list that they are of, and for nobody and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.errors import InvalidRequest
from coatcheck_service.actions.admin_jobs import JobPlace
from coatcheck_service.http.cursors import MAX_LENGTH, seal, unseal

KEY, LIST = b"k" * 32, "admin_list_jobs {}"
PLACE = JobPlace(tenant="t" * 64, id="job_" + "j" * 60, at=10**13 - 1)


def test_the_longest_cursor_may_be_sent_back() -> None:
    cursor = seal(PLACE, of=LIST, key=KEY)
    assert len(cursor) <= MAX_LENGTH
    assert unseal(cursor, JobPlace, of=LIST, key=KEY) == PLACE


@pytest.mark.parametrize(("of", "key"), [(LIST + " ", KEY), (LIST, b"j" * 32)], ids=["list", "key"])
def test_a_cursor_of_another_list_or_key_is_refused(of: str, key: bytes) -> None:
    with pytest.raises(InvalidRequest):
        unseal(seal(PLACE, of=of, key=key), JobPlace, of=LIST, key=KEY)


@given(position=st.integers(0, 199), character=st.sampled_from("abcXYZ019-_"))
def test_a_changed_cursor_is_refused(position: int, character: str) -> None:
    cursor = seal(PLACE, of=LIST, key=KEY)
    position %= len(cursor) - 1
    changed = cursor[:position] + character + cursor[position + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidRequest):
            unseal(changed, JobPlace, of=LIST, key=KEY)


@given(st.text(max_size=60))
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidRequest):
        unseal(text, JobPlace, of=LIST, key=KEY)
