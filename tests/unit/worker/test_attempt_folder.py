"""The folder of an attempt: empty for each, and kept while nobody uses it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck_worker.supervisor.attempt_folder import AttemptFolder

Use = Callable[[Path], object]


def _replace_by_link(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(folder.parent)


def _replace(folder: Path) -> None:
    folder.rmdir()
    folder.mkdir(mode=0o777)


def _fill_a_folder(folder: Path) -> None:
    (folder / "one" / "two").mkdir(parents=True)
    (folder / "one" / "file").write_text("text")


USES: dict[str, Use] = {
    "file": lambda folder: (folder / "file").write_text("text"),
    "folder": _fill_a_folder,
    "link": lambda folder: (folder / "link").symlink_to("/etc"),
    "hidden": lambda folder: (folder / ".hidden").touch(),
    "rights": lambda folder: folder.chmod(0o777),
    "removed": lambda folder: folder.rmdir(),
    "replaced": _replace,
    "replaced by a link": _replace_by_link,
    "beside it": lambda folder: (folder.parent / "file").write_text("text"),
    "a folder beside it": lambda folder: _fill_a_folder(folder.parent),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_each_attempt_has_an_empty_folder_of_its_own(use: Use, tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    use(folder.path())
    folder.clear()
    following = folder.path()
    assert list(tmp_path.iterdir()) == [following]
    assert following.is_dir()
    assert not following.is_symlink()
    assert list(following.iterdir()) == []
    assert stat.S_IMODE(following.stat().st_mode) == 0o700


def test_a_folder_that_nobody_used_is_kept(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    kept = folder.path()
    made = kept.stat().st_ctime_ns
    folder.clear()
    assert folder.path() == kept
    assert kept.stat().st_ctime_ns == made


def test_where_none_can_be_made_the_error_is_the_systems(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        folder.path()
    with pytest.raises(FileNotFoundError):
        folder.clear()
    (tmp_path / "gone").mkdir()
    assert list(folder.path().iterdir()) == []
