"""The command as a process, typed by the hostile or unlucky: an exit code of docs/cli.md, one line, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, Response

from tests.unit.client.responses import RUN, reply, stored, view

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer

GONE = 141
STATUS = ("status", "job_a")
SUBMIT = ("submit", "t")
RESULT = ("result", "job_a")


@dataclass(frozen=True)
class Case:
    """What is typed, where its streams lead, and how it ends: `err` is in its only line, or there is none."""

    argv: tuple[str, ...]
    code: int
    err: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    streams: str = ""
    elsewhere: bool = False


NAMED = ("--url", "http://jobs.invalid", "--api-key", "k")
PROXY = "the proxy that ALL_PROXY, HTTP_PROXY, HTTPS_PROXY or NO_PROXY names cannot be used: "
CASES = {
    # proxies of the environment: not for a server of this machine, and a line for others
    "socks here": Case(STATUS, 0, environ={"ALL_PROXY": "socks5://127.0.0.1:1"}),
    "garbage here": Case(STATUS, 0, environ={"HTTP_PROXY": "garbage"}),
    "brackets here": Case(STATUS, 0, environ={"NO_PROXY": "[::1]"}),
    "socks": Case((*STATUS, *NAMED), 2, PROXY + "for SOCKS, pip install", {"ALL_PROXY": "socks5://127.0.0.1:1"}),
    "garbage": Case((*STATUS, *NAMED), 5, "could not reach http://jobs.invalid: ", {"HTTP_PROXY": "garbage.invalid"}),
    "scheme": Case((*STATUS, *NAMED), 2, PROXY, {"HTTP_PROXY": "gopher://x"}),
    "brackets": Case((*STATUS, *NAMED), 2, PROXY, {"NO_PROXY": "[::1]"}),
    "no certificates": Case((*STATUS, *NAMED), 2, "SSL_CERT_FILE", {"SSL_CERT_FILE": "/dev/null"}),
    # servers and keys
    "credentials in the url": Case(
        (*STATUS, "--url", "http://a:b@127.0.0.1", "--api-key", "k"), 2, "is not a server URL"
    ),
    "a label that is too long": Case((*STATUS, "--url", f"http://{'a' * 70}.invalid", "--api-key", "k"), 5, "reach"),
    "a key alone": Case(STATUS, 2, "without a URL: give --url", {"COATCHECK_API_KEY": "mine"}),
    "a home that is a file": Case(STATUS, 5, "no server here", {"COATCHECK_HOME": "/dev/null"}),
    # ids
    "no id": Case(("status", ""), 2, "'' is not an id or a name"),
    "dots": Case(("webhooks", "delete", ".."), 2, "'..' is not an id or a name"),
    "an id with escapes": Case(("status", "\x1b[2J\u202e"), 3, "nothing is scripted for GET /v1/jobs/"),
    "an id in latin-1": Case(("status", "job_\udcff"), 2, "the arguments are not UTF-8"),
    # numbers and inputs
    "delay nan": Case((*SUBMIT, "--delay", "nan"), 2, "--delay takes a number of seconds, at least 0"),
    "delay inf": Case((*SUBMIT, "--delay", "1e999"), 2, "--delay takes a number of seconds, at least 0"),
    "number too large": Case((*SUBMIT, "-i", '{"a": 1e999}'), 2, "--input is not JSON: 1e999 is too large a number"),
    "deep": Case((*SUBMIT, "-i", "[" * 60_000), 2, "--input is not JSON: nested too deeply"),
    "almost too deep": Case((*SUBMIT, "-i", "[" * 940 + "]" * 940), 0, "queued"),
    "latin-1 input": Case((*SUBMIT, "-i", '"\udce9"'), 2, "--input is not UTF-8"),
    "endless input": Case((*SUBMIT, "-i", "@/dev/zero"), 2, "/dev/zero has more than 64 MiB"),
    "deep field": Case((*SUBMIT, "--upload", f"a{'.a' * 5000}=plain"), 2, "is not a field"),
    "a path that is too long": Case((*SUBMIT, "--upload", f"a={'x' * 5000}"), 2, "File name too long"),
    # names of files
    "latin-1 name": Case((*SUBMIT, "--upload", "a=caf\udce9"), 0, "queued"),
    "backslash and newline": Case((*SUBMIT, "--upload", "a=b\\c\nd"), 0, "queued"),
    "latin-1 name that is none": Case((*SUBMIT, "--upload", "a=\udce9\n\x1b[2J"), 2, "no such file"),
    "output with a newline": Case((*RESULT, "-o", "no\nfolder/\x1b[2J\udce9"), 2, "No such file or directory"),
    "longest name": Case((*RESULT, "-o", "x" * 255), 0),
    "folder as output": Case((*RESULT, "-o", "."), 2, "Is a directory"),
    "unwritable folder": Case((*RESULT, "-o", "/proc/out"), 2, "/proc/out: "),
    "full disk": Case((*RESULT, "-o", "/dev/full"), 2, "/dev/full: No space left on device"),
    # streams
    "ascii": Case(("list",), 0, environ={"PYTHONIOENCODING": "ascii"}),
    "ascii in C": Case(("list",), 0, environ={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "ascii error": Case(("status", "job_b"), 3, "r immer weg", {"PYTHONIOENCODING": "ascii:strict"}),
    "no stdout": Case(STATUS, 2, "standard output: Bad file descriptor", streams=">&-"),
    "no stdout for bytes": Case(RESULT, 2, "standard output: Bad file descriptor", streams=">&-"),
    "no stdout for help": Case(("--help",), 2, "standard output: Bad file descriptor", streams=">&-"),
    "no stderr": Case(("status", "job_b"), 3, streams="2>&-"),
    "no stdin": Case((*SUBMIT, "-i", "-"), 2, "standard input: Bad file descriptor", streams="<&-"),
    "no stream at all": Case(("status", "job_b"), 3, streams="<&- >&- 2>&-"),
    "full stdout": Case(STATUS, 2, "standard output: No space left on device", streams=">/dev/full"),
    "full stdout for bytes": Case(RESULT, 2, "standard output: No space left on device", streams=">/dev/full"),
    "full stderr": Case(("status", "job_b"), 3, streams="2>/dev/full"),
    "a folder that is gone": Case(STATUS, 2, "No such file or directory", elsewhere=True),
}


@pytest.fixture
def served(fake_server: FakeServer, stack_folder: Path) -> Path:
    """A folder in which the stand-in runs, with files of odd names."""
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(b"bytes", "text/csv")))
    gone = {"title": "Gone \u202e\x1b[2J\u2028", "status": 404, "detail": "f\u00fcr immer\nweg"}
    fake_server.on("GET /v1/jobs/job_b", JSONResponse(gone, 404))
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"bytes"))
    fake_server.on("GET /v1/jobs", JSONResponse({"data": [view(type="gr\u00f6\u00dfe\x1b[2J\u202e")], "next": None}))
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    ticket = {"id": "upl_1", "method": "PUT", "url": f"{fake_server.url}/bucket", "headers": {}}
    fake_server.on("POST /v1/uploads", JSONResponse(ticket, 201))
    fake_server.on("PUT /bucket", Response())
    for name in (b"plain", b"caf\xe9", b"b\\c\nd"):
        (stack_folder / os.fsdecode(name)).write_bytes(b"x")
    return stack_folder


def ended(case: Case, folder: Path) -> subprocess.CompletedProcess[bytes]:
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    redirected = f'exec "$@" {case.streams}'
    if case.elsewhere:
        (folder / "below").mkdir()
        redirected = f'cd below && rmdir ../below && exec "$@" {case.streams}'
    argv = [part.encode("utf-8", "surrogateescape") for part in ("sh", "-c", redirected, "sh", *RUN, *case.argv)]
    return subprocess.run(argv, capture_output=True, check=False, cwd=folder, env=plain | case.environ, timeout=60)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_ends_as_documented(served: Path, case: Case) -> None:
    done = ended(case, served)
    said = done.stderr.decode()
    assert "Traceback" not in said
    assert done.returncode == case.code, said
    assert said.count("\n") == (1 if case.err else 0), said
    assert (case.err or "") in said
    for shown in (said, done.stdout.decode()):
        assert re.sub("[\n]", "", shown).isprintable()


@pytest.mark.parametrize("argv", [("--help",), STATUS, ("list", "--json"), RESULT, (*SUBMIT, "--json")])
def test_a_reader_that_is_gone(served: Path, argv: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run([*RUN, *argv], stdout=gone, stderr=subprocess.PIPE, check=False, cwd=served, timeout=60)
    assert (done.returncode, done.stderr) == (GONE, b"")


def test_the_id_of_a_job_is_told_where_it_cannot_be_printed(served: Path) -> None:
    done = ended(Case(SUBMIT, 2, streams=">/dev/full"), served)
    assert done.returncode == 2
    assert done.stderr == b"submitted: job_a\ncoatcheck: standard output: No space left on device\n"


def test_names_that_are_sent_are_fit_for_the_service(served: Path, fake_server: FakeServer) -> None:
    ended(Case((*SUBMIT, "--upload", "a=b\\c\nd"), 0), served)
    named = [
        json.loads(recorded.body)["filename"]
        for recorded in fake_server.recorded
        if recorded.call == "POST /v1/uploads"
    ]
    assert named == ["b_c_d"]


def test_a_hundred_megabytes_of_input(served: Path, fake_server: FakeServer) -> None:
    with (served / "large.json").open("wb") as file:
        file.truncate(100 << 20)
    done = ended(Case((*SUBMIT, "-i", "@large.json"), 2), served)
    assert (done.returncode, done.stderr) == (
        2,
        b"coatcheck: large.json has more than 64 MiB: send a file with --upload\n",
    )
    assert fake_server.recorded == []
