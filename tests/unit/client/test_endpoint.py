from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from coatcheck.client.exceptions import InvalidArgumentError, NoServerError
from coatcheck.client.server_config import ServerConfig, find_server, is_listening

URL = "http://127.0.0.1:8000"
FOUND = {"url": URL, "api_key": "found", "aws_endpoint_url": "http://127.0.0.1:4566", "pid": 1}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    file = tmp_path / ".coatcheck" / "endpoint.json"
    file.parent.mkdir()
    file.touch(0o600)
    file.write_text(json.dumps(FOUND))
    return tmp_path


def test_named_outright(project: Path) -> None:
    assert find_server("https://a.example", "k", {}, project) == ServerConfig("https://a.example", "k")


def test_found_here_or_in_a_parent(project: Path) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    file = project / ".coatcheck" / "endpoint.json"
    assert (
        find_server(None, None, {}, project) == find_server(None, None, {}, below) == ServerConfig(URL, "found", file)
    )


def test_the_nearest_one_counts_unless_home_says_otherwise(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "endpoint.json").touch(0o600)
    (home / "endpoint.json").write_text(json.dumps({"url": "http://localhost:1", "api_key": "other"}))
    assert find_server(None, None, {"COATCHECK_HOME": str(home)}, project).url == "http://localhost:1"
    with pytest.raises(NoServerError):
        find_server(None, None, {"COATCHECK_HOME": str(home / "empty")}, project)


@pytest.mark.parametrize("url", [None, ""])
def test_a_key_that_is_given_goes_to_no_url_out_of_a_file(project: Path, url: str | None) -> None:
    with pytest.raises(InvalidArgumentError, match=r"without a URL: give --url or set COATCHECK_URL"):
        find_server(url, "mine", {}, project)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://[::1]:1/", "http://localhost", "http://127.1.2.3"])
def test_a_file_names_this_machine(project: Path, url: str) -> None:
    (project / ".coatcheck" / "endpoint.json").write_text(json.dumps({**FOUND, "url": url}))
    assert find_server(None, None, {}, project).url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://localhost:80@evil.example",
        "http://localhost\\@evil.example",
        "http://10.0.0.1:8000",
        "http://0.0.0.0",
        "http://[::ffff:10.0.0.1]",
        "file:///etc/passwd",
        "http://localhost:8000/x?\n",
        "",
    ],
)
def test_a_file_that_names_another_machine_is_not_used(project: Path, url: str) -> None:
    (project / ".coatcheck" / "endpoint.json").write_text(json.dumps({**FOUND, "url": url}))
    with pytest.raises(InvalidArgumentError, match=r"not this machine: .* give --url and --api-key"):
        find_server(None, None, {}, project)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_used(project: Path, mode: int) -> None:
    (project / ".coatcheck" / "endpoint.json").chmod(mode)
    with pytest.raises(InvalidArgumentError, match=r"can be written by other users: .* chmod 600"):
        find_server(None, None, {}, project)


def test_a_file_of_another_user_is_not_used(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / ".coatcheck" / "endpoint.json"
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InvalidArgumentError, match="belongs to another user"):
        find_server(None, None, {}, project)


def test_a_link_is_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = project / ".coatcheck" / "endpoint.json"
    file.symlink_to(file.rename(tmp_path_factory.mktemp("elsewhere") / "endpoint.json"))
    with pytest.raises(InvalidArgumentError, match="is a symbolic link"):
        find_server(None, None, {}, project)


def test_the_key_found_goes_to_its_own_server_only(project: Path) -> None:
    assert find_server("http://127.0.0.1:8000/", None, {}, project).api_key == "found"
    with pytest.raises(InvalidArgumentError, match=r"no API key for https://evil\.example"):
        find_server("https://evil.example", None, {}, project)


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(NoServerError, match="coatcheck up"):
        find_server(None, None, {"COATCHECK_HOME": str(tmp_path)}, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "http://x"}', "\udcff", "[" * 9999])
def test_a_file_of_something_else(project: Path, content: str) -> None:
    (project / ".coatcheck" / "endpoint.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArgumentError, match="is not as `coatcheck up` writes it"):
        find_server(None, None, {}, project)


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(ServerConfig("http://x", "secret"))


def test_whether_anybody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert is_listening(url)
    assert not is_listening(url)
    assert not is_listening("http://127.0.0.1:99999999")
    assert not is_listening("nonsense")
