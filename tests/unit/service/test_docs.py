"""The documentation is served whole by the service itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from coatcheck_service.front_door import ALB
from coatcheck_service.routes.docs import ASSETS
from tests.unit.service.in_process import app, client


class LoadedResources(HTMLParser):
    """What a page loads, and the scripts and styles written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        if tag in {"script", "link", "img", "iframe"}:
            self.addresses += [value for name, value in attrs if name in {"src", "href"} and value is not None]


async def test_the_page_loads_what_the_service_has_and_nothing_else() -> None:
    async with client(app()) as http:
        page = await http.get("/docs", headers={"Authorization": ""})
        loaded = LoadedResources()
        loaded.feed(page.text)
        assert len(loaded.addresses) == len(ASSETS)
        assert loaded.inline == []
        for address in loaded.addresses:
            assert re.match(r"docs/[^/:]+$", address), "relative: it works below any prefix"
            got = await http.get(f"/{address}", headers={"Authorization": ""})
            assert got.status_code == 200
            assert got.headers["content-type"].partition(";")[0] == ASSETS[address.partition("?")[0][len("docs/") :]]
            assert got.headers["x-content-type-options"] == "nosniff"
        assert (await http.get("/docs/nothing.js")).status_code == 404


async def test_the_page_may_run_no_script_but_the_services() -> None:
    async with client(app()) as http:
        policy = (await http.get("/docs")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


SCRIPT = "/docs/swagger-ui-bundle.js"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, br", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("", None),
        ("br", None),
        ("gzip;q=0, br", None),
        ("gzip; q=0.00", None),
    ],
)
async def test_what_the_page_loads_is_compressed_for_who_takes_it(accepted: str, encoding: str | None) -> None:
    async with client(app()) as http:
        answer = await http.get(SCRIPT, headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("content-encoding"), answer.headers["vary"]) == (encoding, "Accept-Encoding")
    assert "SwaggerUIBundle" in answer.text
    assert (int(answer.headers["content-length"]) < ALB.inline_limit) == (encoding == "gzip")
    assert "Accept-Encoding" in answer.headers["vary"]


async def test_every_page_and_asset_fits_through_a_load_balancer_whoever_asks() -> None:
    async with client(app(front_door=ALB)) as http:
        for path in ("/docs", "/openapi.json", *(f"/docs/{asset}" for asset in ASSETS)):
            answer = await http.get(path, headers={"Accept-Encoding": "identity"})
            assert int(answer.headers["content-length"]) <= ALB.inline_limit, path


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", *(f"/docs/{asset}" for asset in ASSETS)])
async def test_what_a_browser_has_is_not_sent_again(path: str) -> None:
    async with client(app()) as http:
        tag = (await http.get(path)).headers["etag"]
        again = await http.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize(
    ("public_url", "base"), [("", "http://api"), ("https://example.com/x", "https://example.com/x")]
)
async def test_the_root_leads_to_the_page(public_url: str, base: str) -> None:
    async with client(app(public_url=public_url)) as http:
        answer = await http.get("/", headers={"Authorization": ""})
        servers = (await http.get("/openapi.json")).json().get("servers")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{base}/docs")
    assert answer.json() == {"docs": f"{base}/docs", "openapi": f"{base}/openapi.json", "health": f"{base}/v1/health"}
    assert servers == ([{"url": "/x"}] if public_url else None)
