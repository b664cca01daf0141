from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from coatcheck.client.endpoint import Endpoint, listens, locate
from coatcheck.client.errors import InvalidArgumentError, NoServerError

URL = "http://127.0.0.1:8000"
FOUND = {"url": URL, "api_key": "found", "aws_endpoint_url": "http://127.0.0.1:4566", "pid": 1}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    file = tmp_path / ".coatcheck" / "endpoint.json"
    file.parent.mkdir()
    file.write_text(json.dumps(FOUND))
    return tmp_path


def test_named_outright(project: Path) -> None:
    assert locate("https://a.example", "k", {}, project) == Endpoint("https://a.example", "k")


def test_found_here_or_in_a_parent(project: Path) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    file = project / ".coatcheck" / "endpoint.json"
    assert locate(None, None, {}, project) == locate(None, None, {}, below) == Endpoint(URL, "found", file)


def test_the_nearest_one_counts_unless_home_says_otherwise(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "endpoint.json").write_text(json.dumps({"url": "http://elsewhere", "api_key": "other"}))
    assert locate(None, None, {"COATCHECK_HOME": str(home)}, project).url == "http://elsewhere"
    with pytest.raises(NoServerError):
        locate(None, None, {"COATCHECK_HOME": str(home / "empty")}, project)


def test_a_key_alone_goes_with_the_server_found(project: Path) -> None:
    assert locate(None, "mine", {}, project).api_key == "mine"


def test_the_key_found_goes_to_its_own_server_only(project: Path) -> None:
    assert locate("http://127.0.0.1:8000/", None, {}, project).api_key == "found"
    with pytest.raises(InvalidArgumentError, match=r"no API key for https://evil\.example"):
        locate("https://evil.example", None, {}, project)


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(NoServerError, match="coatcheck up"):
        locate(None, None, {"COATCHECK_HOME": str(tmp_path)}, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "http://x"}', "\udcff"])
def test_a_file_of_something_else(project: Path, content: str) -> None:
    (project / ".coatcheck" / "endpoint.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArgumentError, match="is not as `coatcheck up` writes it"):
        locate(None, None, {}, project)


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Endpoint("http://x", "secret"))


def test_whether_anybody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert listens(url)
    assert not listens(url)
    assert not listens("http://127.0.0.1:99999999")
    assert not listens("nonsense")
