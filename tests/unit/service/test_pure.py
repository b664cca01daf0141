"""The pure pieces of the service: cursors, uploads in inputs, log lines, times."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.clock import from_rfc3339, rfc3339
from coatcheck.core.errors import InvalidRequest
from coatcheck.core.log import JsonFormatter, TextFormatter, log_context
from coatcheck_service.actions.job_inputs import referenced_uploads
from coatcheck_service.actions.list_jobs import Cursor

ALL = (0, 10**13 - 1)


@given(at=st.integers(0, 10**13 - 1), name=st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True))
def test_a_cursor_is_read_as_it_was_written(at: int, name: str) -> None:
    cursor = Cursor(id=f"job_{name}", at=at)
    assert Cursor.parse(cursor.text(), ALL) == cursor


@given(st.text(max_size=200))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursor.parse(text, ALL)


def test_a_cursor_outside_the_filters_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Cursor.parse(Cursor(id="job_1", at=5).text(), (6, 10))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"$upload": "upl_1"}, [("/input", "upl_1")]),
        (
            {"a": [{"$upload": "upl_1"}, {"b/c": {"$upload": "upl_2"}}]},
            [("/input/a/0", "upl_1"), ("/input/a/1/b~1c", "upl_2")],
        ),
        ({"$upload": "upl_1", "more": 1}, []),
        ({"$upload": 5}, []),
        (["$upload", "upl_1"], []),
        (None, []),
    ],
)
def test_uploads_are_found_wherever_they_are(value: Any, found: list[tuple[str, str]]) -> None:
    assert list(referenced_uploads(value, "/input")) == found


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_read_as_it_is_shown(at: int) -> None:
    assert from_rfc3339(rfc3339(at)) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:00.5+01:00", 500),
        ("2026-11-03T09:30:00.123456789Z", 1793698200123),
    ],
)
def test_times_in_other_guises(text: str, at: int) -> None:
    assert from_rfc3339(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-03",
        "2026-11-03T09:30:00",
        "2026-11-03 09:30:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-03T25:00:00Z",
        "2026-11-03T09:30:60Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "\uff12026-11-03T09:30:00Z",
        "2026-11-03T09:30:00Z\n",
        1793698200,
        None,
    ],
)
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match="should be a time"):
        from_rfc3339(text)


def record(**extra: Any) -> logging.LogRecord:
    """A line about an exception, with extras."""
    try:
        int("bad\nnews")
    except ValueError:
        made = logging.LogRecord("service.x", logging.ERROR, __file__, 1, "went %s", ("wrong",), sys.exc_info())
    made.created = 1_793_698_200.5
    vars(made).update(extra)
    return made


def test_a_json_line_is_one_object() -> None:
    line = JsonFormatter().format(record(tenant="alpha", ms=1.5, nothing=None))
    assert "\n" not in line
    entry = json.loads(line)
    assert "ValueError" in entry.pop("trace")
    assert entry == {
        "timestamp": "2026-11-03T09:30:00.500Z",
        "level": "ERROR",
        "logger": "service.x",
        "message": "went wrong",
        "tenant": "alpha",
        "ms": 1.5,
    }


@pytest.mark.parametrize(
    ("level", "told"),
    [(logging.INFO, "INFO"), (logging.WARNING, "WARN"), (logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL")],
)
def test_lambda_knows_the_level_and_no_extra_hides_it(level: int, told: str) -> None:
    made = logging.LogRecord("job.x", level, __file__, 1, "line", None, None)
    vars(made).update({"level": "DEBUG", "timestamp": "never", "logger": "another"})
    entry = json.loads(JsonFormatter().format(made))
    assert (entry["level"], entry["logger"]) == (told, "job.x")
    assert from_rfc3339(entry["timestamp"]) == round(made.created * 1000)


def test_lines_tell_what_they_are_about() -> None:
    def told(**extra: Any) -> dict[str, Any]:
        entry = json.loads(JsonFormatter().format(record(**extra)))
        return {name: entry[name] for name in ("lane", "job") if name in entry}

    with log_context(lane="default"):
        with log_context(job="job_1", delivery=None):
            assert told() == {"lane": "default", "job": "job_1"}
            assert told(job="job_2") == {"lane": "default", "job": "job_2"}
        assert told() == {"lane": "default"}
    assert told() == {}


def test_a_text_line_is_for_people() -> None:
    with log_context(lane="default"):
        first, *rest = TextFormatter().format(record(tenant="alpha", nothing=None)).splitlines()
    assert first == "2026-11-03T09:30:00.500Z ERROR service.x: went wrong lane=default tenant=alpha"
    assert rest[0] == "  Traceback (most recent call last):"


@pytest.mark.parametrize(
    "forged", ["a\n2026-11-03T09:30:00.500Z INFO service.x: all is well", "a\rb", "\x1b[2J", "\u2028", "\ud800"]
)
def test_no_text_makes_a_line_of_its_own_or_writes_to_the_terminal(forged: str) -> None:
    error = ValueError(forged)
    made = logging.LogRecord("job.x", logging.INFO, __file__, 1, "told %s", (forged,), (ValueError, error, None))
    vars(made)["given"] = forged
    first, *trace = TextFormatter().format(made).split("\n")
    escaped = forged.encode("unicode_escape").decode()
    assert first.startswith(f'{rfc3339(round(made.created * 1000))} INFO job.x: told {escaped} given="')
    assert {line[:2] for line in trace} == {"  "}
    assert "".join([first, *trace]).isprintable()
