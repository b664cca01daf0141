"""The project's lock says which versions go into the zips, with the hashes of their files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck_infra.build.lambda_zips import install_packages
from coatcheck_infra.build.lock import Lock, make_lock, read_lock, select
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_specs import LAMBDA, LOCAL
from tests.unit.build.owner_project import add_wheel, make_project, package_index


def sha256(path: Path) -> str:
    return f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_lock_is_made_with_hashes_and_no_addresses(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    assert read_lock(root) is None
    alpha, beta = add_wheel(root, "alpha", "1.0", requires="beta>=2"), add_wheel(root, "beta", "2.1")
    made = make_lock(root, ["alpha>=1"])
    assert made == read_lock(root) == Lock("requirements.lock", (root / "requirements.lock").read_text())
    pins = [line for line in made.text.splitlines() if not line.startswith("#")]
    assert pins == ["alpha==1.0 \\", f"    {sha256(alpha)}", "beta==2.1 \\", f"    {sha256(beta)}"]


def test_a_lock_keeps_its_versions_when_it_is_made_again(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    add_wheel(root, "alpha", "1.0")
    make_lock(root, ["alpha"])
    add_wheel(root, "alpha", "1.1")
    add_wheel(root, "beta", "2.1")
    text = make_lock(root, ["alpha", "beta"]).text
    assert "alpha==1.0" in text
    assert "beta==2.1" in text
    assert "alpha==1.1" in make_lock(root, ["alpha>=1.1", "beta"]).text


def test_a_zip_gets_what_it_needs_of_the_lock_and_no_more(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    alpha, beta = add_wheel(root, "alpha", "1.0", requires="beta"), add_wheel(root, "beta", "2.1")
    add_wheel(root, "gamma", "3")
    lock = make_lock(root, ["alpha", "gamma"])
    add_wheel(root, "beta", "2.2")
    assert select(lock, ["alpha"], LAMBDA, root) == (
        f"alpha==1.0 \\\n    {sha256(alpha)}\nbeta==2.1 \\\n    {sha256(beta)}\n"
    )


def test_a_lock_that_does_not_fit_says_what_to_run(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    add_wheel(root, "alpha", "1.0")
    lock = make_lock(root, ["alpha"])
    add_wheel(root, "beta", "2.1")
    with pytest.raises(BuildError, match=r"^requirements\.lock has no hash of beta: run: coatcheck build --lock$"):
        select(lock, ["alpha", "beta"], LAMBDA, root)
    with pytest.raises(
        BuildError,
        match=r"^requirements\.lock does not fit pyproject\.toml \(.*alpha>=2.*\): run: coatcheck build --lock$",
    ):
        select(lock, ["alpha>=2"], LAMBDA, root)


def test_a_package_without_a_wheel_for_lambda_is_named(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    add_wheel(root, "alpha", "1.0", tag="cp313-cp313-win_amd64")
    lock = make_lock(root, ["alpha"])
    with pytest.raises(BuildError, match=r"^alpha 1\.0 has no wheel for python3\.13, arm64: choose another version"):
        select(lock, ["alpha"], LAMBDA, root)


def test_what_is_not_from_an_index_is_refused(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    wheel = add_wheel(root, "alpha", "1.0")
    lock = Lock("requirements.lock", f"alpha @ {wheel.as_uri()}\n")
    with pytest.raises(BuildError, match=r"alpha @ .* is not from a package index"):
        select(lock, ["alpha"], LOCAL, root)


def uv_lock(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=root, check=True)


def test_uv_lock_is_read_where_there_is_one(tmp_path: Path) -> None:
    root = make_project(tmp_path, dependencies='"alpha"', handlers='"beta"').root
    alpha, beta = add_wheel(root, "alpha", "1.0"), add_wheel(root, "beta", "2.1")
    add_wheel(root, "gamma", "1")
    make_lock(root, ["alpha"])
    with package_index(root) as url:
        text = (root / "pyproject.toml").read_text()
        text = text.replace('no-index = true\nfind-links = ["wheels"]', f'index = [{{url = "{url}", default = true}}]')
        (root / "pyproject.toml").write_text(text)
        uv_lock(root)
        lock = read_lock(root)
        assert lock is not None
        assert lock.name == "uv.lock"
        assert select(lock, ["alpha", "beta"], LAMBDA, root) == (
            f"alpha==1.0 \\\n    {sha256(alpha)}\nbeta==2.1 \\\n    {sha256(beta)}\n"
        )
        message = r'^uv\.lock has no hash of gamma: add "coatcheck\[local\]" to a dependency group .* run: uv lock$'
        with pytest.raises(BuildError, match=message):
            select(lock, ["gamma"], LAMBDA, root)


def test_a_uv_lock_that_is_out_of_date_says_what_to_run(tmp_path: Path) -> None:
    root = make_project(tmp_path, dependencies='"alpha"').root
    add_wheel(root, "alpha", "1.0")
    uv_lock(root)
    add_wheel(root, "beta", "2.1")
    make_project(root, dependencies='"alpha", "beta"')
    with pytest.raises(BuildError, match=r"^uv\.lock does not fit pyproject\.toml: run: uv lock$"):
        read_lock(root)


@pytest.mark.parametrize(
    ("requires_python", "message"),
    [("<3.13", "excludes 3.13, which the functions run"), ("three", r"requires-python: Invalid specifier")],
)
def test_a_project_that_lambda_cannot_run_is_refused(tmp_path: Path, requires_python: str, message: str) -> None:
    root = make_project(tmp_path).root
    with pytest.raises(BuildError, match=message):
        make_lock(root, [], requires_python)


def test_what_is_nowhere_is_said_in_one_line(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    with pytest.raises(BuildError, match=r"^requirements\.lock cannot be made: .*alpha was not found.*") as refused:
        make_lock(root, ["alpha"])
    assert "\n" not in str(refused.value)
    assert not (root / "requirements.lock").exists()


def test_what_is_installed_is_what_the_lock_has(tmp_path: Path) -> None:
    root = make_project(tmp_path).root
    wheel = add_wheel(root, "alpha", "1.0")
    (root / "selected.txt").write_text(select(make_lock(root, ["alpha"]), ["alpha"], LOCAL, root))
    install_packages(root / "selected.txt", LOCAL, tmp_path / "stage", root)
    assert (tmp_path / "stage" / "alpha.py").read_text() == "VERSION = '1.0'\n"
    (root / "selected.txt").write_text(f"alpha==1.0 \\\n    {sha256(wheel)[:-8]}00000000\n")
    with pytest.raises(BuildError, match=r"^a package cannot be installed: Hash mismatch for `alpha==1\.0`") as refused:
        install_packages(root / "selected.txt", LOCAL, tmp_path / "again", root)
    assert "\n" not in str(refused.value)
