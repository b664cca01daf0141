"""What `coatcheck up` finds in its home: goes on with it, or refuses it with one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.local import kept_state
from coatcheck_infra.local.kept_state import open_state, origin_of
from coatcheck_infra.local.ministack.state_patches import StateRecorder
from coatcheck_infra.local.state_store import DATABASE, OBJECTS, ItemKey, KeptMessage, StateStore
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.template import read_template

ORIGIN = {"format": "1", "MiniStack": "1.5.33", "table Table": "(pk S, sk S)", "bucket Bucket": ""}
KEY = ItemKey("table", "p", "s")
ITEM = {"pk": {"S": "p"}, "sk": {"S": "s"}, "text": {"S": "é"}}
REMEDY = "start once with --fresh, which discards the jobs and files that it holds"


def begin(directory: Path, origin: Mapping[str, str] = ORIGIN, *, fresh: bool = False) -> list[str]:
    """Open the state, and return the lines that were written."""
    lines: list[str] = []
    open_state(directory, origin, lines.append, fresh=fresh)
    return lines


@contextlib.contextmanager
def store_of(directory: Path) -> Any:
    with contextlib.closing(StateStore(directory)) as store:
        yield store


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with an item, a secret, a message and a file."""
    directory = tmp_path / "state"
    assert begin(directory) == []
    with store_of(directory) as store:
        store.write_items({KEY: ITEM})
        store.write_secrets({"own": {"ARN": "a"}}, {"other": {"ARN": "b"}})
        store.write_messages([KeptMessage("1", "queue", "body", {}, None, 0.0)], [])
    file = directory / OBJECTS / "000000000000" / "bucket" / "key"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"text")
    return directory


def test_what_was_written_is_read_after_a_restart(state: Path) -> None:
    assert begin(state) == []
    with store_of(state) as store:
        assert store.items("table") == [ITEM]
        assert store.secrets(of_stack=True) == {"own": {"ARN": "a"}}
        assert store.secrets(of_stack=False) == {"other": {"ARN": "b"}}
        assert [message.body for message in store.messages()] == ["body"]
        store.write_items({KEY: None})
        store.write_secrets({"second": {"ARN": "c"}}, {})
        assert store.items("table") == []
        assert store.secrets(of_stack=True).keys() == {"own", "second"}
        assert store.secrets(of_stack=False) == {}


def test_a_start_that_was_killed_leaves_nothing_that_cannot_be_read(tmp_path: Path) -> None:
    draft = tmp_path / "state.new"
    draft.mkdir()
    (draft / DATABASE).write_bytes(b"half of it")
    assert begin(tmp_path / "state") == []
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_only_the_owner_can_read_it(state: Path) -> None:
    assert state.stat().st_mode & 0o777 == 0o700


def test_fresh_begins_without_it(state: Path) -> None:
    assert begin(state, fresh=True) == [f"discarded what was kept in {state}"]
    with store_of(state) as store:
        assert store.items("table") == []
    assert not (state / OBJECTS).exists()


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({**ORIGIN, "format": "2"}, "is of format 1, this is format 2"),
        ({**ORIGIN, "MiniStack": "2.0"}, "is of MiniStack 1.5.33, this is MiniStack 2.0"),
        ({**ORIGIN, "table Table": "(id S)"}, "is of table Table (pk S, sk S), this is table Table (id S)"),
        ({name: ORIGIN[name] for name in ORIGIN if name != "bucket Bucket"}, "is of bucket Bucket, there is none now"),
    ],
    ids=["format", "MiniStack", "keys", "store"],
)
def test_one_of_another_version_is_refused(state: Path, now: dict[str, str], reason: str) -> None:
    with pytest.raises(UpError) as refused:
        begin(state, now)
    assert str(refused.value) == f"the state in {state} {reason}: {REMEDY}"
    assert begin(state) == [], "the state is as it was"


def test_a_new_store_is_no_other_version(state: Path) -> None:
    more = {**ORIGIN, "bucket Second": ""}
    assert begin(state, more) == []
    with pytest.raises(UpError, match="is of bucket Second, there is none now"):
        begin(state)


@pytest.mark.parametrize("damage", [b"", b"no database", None], ids=["empty", "other", "missing"])
def test_one_that_cannot_be_read_is_refused(state: Path, damage: bytes | None) -> None:
    for file in state.glob(f"{DATABASE}*"):
        file.unlink()
    if damage is not None:
        (state / DATABASE).write_bytes(damage)
    with pytest.raises(UpError) as refused:
        begin(state)
    assert str(refused.value).startswith(f"the state in {state} ")
    assert str(refused.value).endswith(f": {REMEDY}")
    assert begin(state, fresh=True)


def test_what_could_not_be_written_is_written_later(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = StateRecorder(StateStore(state))
    recorder.store.close()
    recorder.item_changed(KEY, None)
    recorder.item_changed(replace(KEY, pk="q"), ITEM)
    recorder.write_items()
    recorder.write_items()
    (line,) = caplog.messages
    assert line.startswith(f"{state / DATABASE} cannot be written: ")
    recorder.store = StateStore(state)
    recorder.item_changed(replace(KEY, pk="q"), None)
    recorder.item_changed(replace(KEY, pk="r"), ITEM)
    recorder.write_items()
    assert caplog.messages[1:] == [f"{state / DATABASE} can be written again"]
    assert recorder.store.items("table") == [ITEM]


def test_keys_that_sign_links_are_kept_for_a_week(state: Path) -> None:
    with store_of(state) as store:
        store.add_signer("id", "secret")
        assert store.begin_start(1e6) == {"id": "secret"}
        store.add_signer("second", "other")
        assert store.begin_start(1e6 + 604_800) == {"id": "secret", "second": "other"}
        assert store.begin_start(1e6 + 604_801) == {"second": "other"}


def test_messages_of_this_start_are_not_earlier_ones(state: Path) -> None:
    with store_of(state) as store:
        store.begin_start(0.0)
        store.write_messages([KeptMessage("2", "queue", "new", {}, None, 0.0)], [])
        assert [message.body for message in store.earlier_messages()] == ["body"]
        assert [message.body for message in store.messages()] == ["new"]
        store.begin_start(0.0)
        assert [message.body for message in store.earlier_messages()] == ["body", "new"]
        store.delete_earlier_messages(["1"])
        assert [message.body for message in store.earlier_messages()] == ["new"]
        assert store.messages() == []


@pytest.mark.parametrize("limit", ["LARGE_BYTES", "LARGE_ROWS"])
def test_a_large_one_is_named(state: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(kept_state, limit, 10)
    (line,) = begin(state)
    assert line.startswith(f"the state in {state} takes 0 MiB, 0 MiB of rows, ")
    assert line.endswith(REMEDY)


def test_more_rows_than_memory_holds_are_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_state, "MOST_ROWS", 10)
    with pytest.raises(UpError, match="for which the emulator needs 0 MiB of memory: start once with --fresh"):
        begin(state)


def test_rests_are_removed(state: Path) -> None:
    bucket = state / OBJECTS / "000000000000" / "bucket"
    (bucket / "half.tmp").touch()
    (bucket / "empty" / "folder").mkdir(parents=True)
    code = bucket.with_name(kept_state.CODE_BUCKET)
    code.mkdir()
    (code / "service.zip").touch()
    begin(state)
    assert [path.name for path in bucket.iterdir()] == ["key"]
    assert not code.exists()


def test_the_origin_names_what_the_template_stores() -> None:
    origin = origin_of(read_template())
    assert re.fullmatch(r"\d+\.\d+\.\d+", origin["MiniStack"])
    assert origin["table Table"] == "(pk S, sk S)"
    assert {"bucket Bucket", "secret WebhookKey", "format"} <= origin.keys()
    assert not [name for name in origin if "Queue" in name], "lanes may come and go"
