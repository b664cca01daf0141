"""What a handler made is never run in the service's own origin, whatever it says it is and is named."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests.aws.service.running_service import Api, problem
from tests.finished_job import FinishedJob

SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(document.domain)</script></svg>"

ACTIVE = [
    "application/javascript",
    "application/pdf",
    "application/xhtml+xml",
    "application/xml",
    "image/svg+xml",
    "multipart/x-mixed-replace; boundary=x",
    "text/html",
    "text/html; charset=utf-7",
    "text/javascript",
    "text/xml",
]
"""Types of which browsers run the contents, or may."""

HONEST = [
    "TEXT/HTML;charset=UTF-8",
    'application/ld+json; profile="http://www.w3.org/ns/json-ld#compacted"',
    'multipart/mixed; boundary="a b"; type="text/html"',
    "x-world/x-3dmf",
]
"""Well formed, if seldom seen (RFC 9110, 8.3.1)."""

MALFORMED = [
    "",
    " ",
    "html",
    "text/",
    "/html",
    "*/*",
    "text/html\n",
    "text/html\r\n",
    "text/html\r\nSet-Cookie: a=b",
    "text/html\r\n\r\n<script>alert(1)</script>",
    "text/html\x00",
    "text/html\u2028x",
    "text/hťml",
    "text/html, text/plain",
    "text/html; charset=utf-8\n",
    "text/html; charset=\N{RIGHT-TO-LEFT OVERRIDE}",
    'text/html; a="b',
    'text/html; a="\r\nSet-Cookie: a=b"',
    "text/html; a=" + "b" * 300,
    "a" * 10_000 + "/b",
]

NAMES = {
    'quo"te\\d.txt': 'quo"te_d.txt',
    "new\r\nSet-Cookie: a=b\n.txt": "new__Set-Cookie: a=b_.txt",
    "../../etc/passwd": "_.._etc_passwd",
    "..\\..\\win.ini": "_.._win.ini",
    ".bashrc": "bashrc",
    "..": None,
    "nul\x00l.txt": "nul_l.txt",
    "c1\x85\u2028\u2029.txt": "c1___.txt",
    "invoice\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe": "invoice_fdp.exe",
    "a\N{RIGHT-TO-LEFT ISOLATE}b\N{POP DIRECTIONAL ISOLATE}c": "a_b_c",
    "דוח שנתי.pdf": "דוח שנתי.pdf",
    "👩\u200d👩\u200d👧 Größe 100%.png": "👩\u200d👩\u200d👧 Größe 100%.png",
    "a;b='c', filename=evil.exe": "a;b='c', filename=evil.exe",
    "%2e%2e%2f": "%2e%2e%2f",
    "=?utf-8?Q?evil?=": "=?utf-8?Q?evil?=",
    "x" * 300 + ".tar.gz": "x" * 252 + ".gz",
    "ü" * 300: "ü" * 127,
    "a." + "b" * 70_000: "a." + "b" * 253,
}
"""What a handler may name its result, and what a browser is told to save; None is the service's own choice."""


def path(finished_job: FinishedJob, below: str = "") -> str:
    """Where the job's result is."""
    return f"/v1/jobs/{finished_job.key.id}/result{below}"


def saved_as(answer: httpx.Response) -> str:
    """The name that a browser saves the answer by, which it does not show (RFC 6266, 4.3)."""
    disposition = answer.headers["content-disposition"]
    reply = re.fullmatch(
        r"""attachment; filename="([^"\\/%]*)"(?:; filename\*=UTF-8''([A-Za-z0-9._~%-]+))?""", disposition
    )
    assert reply, disposition
    assert reply[1].isascii()
    return unquote(reply[2]) if reply[2] else reply[1]


def assert_inert(answer: httpx.Response) -> None:
    """No browser runs what is in it, as a page, an image, a script or a frame."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("inline", [True, False], ids=["row", "bucket"])
def test_an_answer_keeps_its_type_and_is_not_run(api: Api, finished_job: FinishedJob, inline: bool) -> None:  # noqa: FBT001
    for content_type in ACTIVE + HONEST:
        finished_job.set_result(SCRIPT, content_type, inline=inline)
        got = api.http.get(path(finished_job))
        assert (got.status_code, got.content) == (200, SCRIPT), content_type
        for answer in (got, api.http.head(path(finished_job))):
            assert answer.headers["content-type"] == content_type
            assert_inert(answer)


def test_a_link_keeps_its_type_and_is_saved(api: Api, finished_job: FinishedJob) -> None:
    for content_type in ACTIVE + HONEST:
        finished_job.set_result(SCRIPT, content_type, inline=False, filename="page.html")
        link = api.http.get(path(finished_job), params={"link": "true"}).json()
        assert link["content_type"] == content_type
        assert urlsplit(link["url"]).netloc != urlsplit(api.url).netloc, "the bucket is an origin of its own"
        got = api.anonymous.get(link["url"])
        assert (got.status_code, got.content) == (200, SCRIPT), content_type
        assert got.headers["content-type"] == content_type
        assert saved_as(got) == "page.html"


def test_what_is_no_type_is_just_bytes(api: Api, finished_job: FinishedJob) -> None:
    for content_type in MALFORMED:
        finished_job.set_result(SCRIPT, content_type, inline=True)
        answer = api.http.get(path(finished_job))
        assert (answer.status_code, answer.content) == (200, SCRIPT), content_type
        assert answer.headers["content-type"] == "application/octet-stream", content_type
        assert_inert(answer)
        link = api.http.get(path(finished_job), params={"link": "true"}).json()
        assert link["content_type"] == "application/octet-stream"


def test_a_name_is_one_to_save_a_file_by(api: Api, finished_job: FinishedJob) -> None:
    for filename, kept in NAMES.items():
        finished_job.set_result(SCRIPT, "text/html", inline=True, filename=filename)
        answer = api.http.get(path(finished_job))
        assert answer.status_code == 200, filename
        assert_inert(answer)
        assert saved_as(answer) == (kept or finished_job.key.id)
        assert len(answer.headers["content-disposition"]) < 1100


def test_a_link_has_the_same_name(api: Api, finished_job: FinishedJob) -> None:
    for filename, kept in NAMES.items():
        finished_job.set_result(SCRIPT, "text/html", inline=False, filename=filename)
        link = api.http.get(path(finished_job), params={"link": "true"}).json()["url"]
        got = api.anonymous.get(link)
        assert got.status_code == 200, filename
        assert saved_as(got) == (kept or finished_job.key.id)
        assert len(link) < 4096, "what servers take"


ABSENT = [
    "%22%3E%3Cscript%3E",
    "a%0D%0ASet-Cookie:%20a=b",
    "..%2F..%2Fresult",
    "%2e%2e",
    "%00",
    "%E2%80%AEfdp.exe",
    "%F0%9F%91%A9.png",
    "%FF%FE",
    "%ED%A0%80",
    "a" * 1000,
]


def test_an_artifact_that_is_not_there_is_404(api: Api, finished_job: FinishedJob) -> None:
    finished_job.set_artifacts({"page.html": SCRIPT}, "text/html")
    answer = api.http.get(path(finished_job, "/page.html"))
    assert (answer.content, saved_as(answer)) == (SCRIPT, "page.html")
    assert_inert(answer)
    for name in ABSENT:
        reply = problem(api.http.get(path(finished_job, f"/{name}")), 404, "not-found")
        assert "script" not in reply["detail"]
