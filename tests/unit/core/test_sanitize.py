"""What a handler calls its bytes, made fit for a header and a file system."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core import sanitize
from coatcheck.core.aws.s3 import attachment

ANY_TEXT = st.text(st.characters(), max_size=400)
"""Lone surrogates too: a handler's str may have them."""


@given(ANY_TEXT)
def test_any_name_becomes_one_that_is_safe(given: str) -> None:
    name = sanitize.filename(given)
    assert len(name.encode()) <= sanitize.MAX_FILENAME_BYTES
    assert not name.startswith((".", " "))
    assert not set(name) & {"/", "\\"}
    assert all(unicodedata.category(character) not in {"Cc", "Cs"} for character in name)
    assert sanitize.filename(name) == name
    attachment(name).encode("ascii")


@given(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=60))
def test_an_honest_name_is_kept(given: str) -> None:
    assert sanitize.filename(f"{given}.csv") == f"{given}.csv"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\ud800b.txt", "a_b.txt"),
        (". ./x", "_x"),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 300, "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 127),
        ("a." + "b" * 70_000, "a." + "b" * 253),
    ],
)
def test_names_that_need_a_hand(given: str, kept: str) -> None:
    assert sanitize.filename(given) == kept


@given(ANY_TEXT | st.from_regex(r"[a-z]{1,5}/[a-z]{1,5}(; ?[a-z]=.{0,8})?\s?", fullmatch=True))
def test_no_type_gets_out_of_its_header(given: str) -> None:
    told = sanitize.media_type(given)
    assert told in {given, sanitize.ANY_BYTES}
    assert len(told) <= sanitize.MAX_MEDIA_TYPE_LENGTH
    assert all(character == "\t" or " " <= character <= "~" for character in told)


@pytest.mark.parametrize(
    "given", ["text/html\n", "text/html\r\nA: b", "", "html", "*/*", "a/b, c/d", 'a/b; c="d', "a/" + "b" * 254]
)
def test_what_is_no_type_is_any_bytes(given: str) -> None:
    assert sanitize.media_type(given) == sanitize.ANY_BYTES


@pytest.mark.parametrize(
    "given", ["text/html", "TEXT/HTML;charset=UTF-8", 'a/b ; c="d \\" e"; f=g', "image/svg+xml", "a/" + "b" * 253]
)
def test_a_type_stays_as_it_is(given: str) -> None:
    assert sanitize.media_type(given) == given


def test_what_was_sent_is_repeated_on_one_line_and_cut() -> None:
    assert sanitize.quoted("demo.slep") == "`demo.slep`"
    assert sanitize.quoted("a\n\x1b[2J\u202e") == "`a\ufffd\ufffd[2J\ufffd`"
    assert sanitize.quoted("x" * 1_000_000) == f"`{'x' * 64}…`"
