"""What is said of a name that nothing has."""

from __future__ import annotations

import pytest

from coatcheck.core.suggestions import unknown

KNOWN = {"demo.sleep": 1, "demo.echo": 2, "pdf.text": 3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("demo.slep", "unknown job type `demo.slep`; did you mean `demo.sleep`?"),
        ("pdf.txt", "unknown job type `pdf.txt`; did you mean `pdf.text`?"),
        ("video.cut", "unknown job type `video.cut`; see /v1/job-types"),
        ("", "unknown job type ``; see /v1/job-types"),
        ("d" * 1_000_000, f"unknown job type `{'d' * 64}…`; see /v1/job-types"),
    ],
)
def test_only_a_close_name_is_suggested(given: str, message: str) -> None:
    assert unknown("job type", given, KNOWN, see="see /v1/job-types") == message
