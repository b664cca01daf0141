"""Thousands of URLs that lead inside, in a network where every address answers: none is connected to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.outbound.hostile_urls import INNER_IPV4, INNER_IPV6, PUBLIC_IPV4, PUBLIC_IPV6, corpus

ROOT = Path(__file__).parents[4]
NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount")
PUBLIC = {PUBLIC_IPV4, PUBLIC_IPV6}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("no `unshare` and `ip` (util-linux, iproute2) to make a network namespace with")
    allowed = subprocess.run(
        [*NAMESPACES, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False
    )
    if allowed.returncode:
        pytest.skip(f"this system does not let us make a network namespace: {allowed.stderr.strip()}")
    command = [*NAMESPACES, sys.executable, "-m", "tests.unit.worker.outbound.network_namespace"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_corpus_is_large() -> None:
    kinds = corpus()
    assert sum(map(len, kinds.values())) >= 2000
    assert min(map(len, kinds.values())) >= 100


def test_no_url_gets_inside(report: dict[str, Any]) -> None:
    ours = report["public"]
    assert set(ours["connections"]) <= PUBLIC
    assert set(ours["requests"]) <= PUBLIC
    assert ours["begun"] == sum(ours["connections"].values()), "a connection was begun where nobody listens"


def test_with_loopback_allowed_no_url_gets_further(report: dict[str, Any]) -> None:
    ours = report["local"]
    reached = {address for address in ours["connections"] if not ip_address(address).is_loopback}
    assert reached <= PUBLIC
    assert "127.0.0.1" in ours["connections"], "loopback is allowed here"


def test_redirects_and_rebound_names_were_reached_outside(report: dict[str, Any]) -> None:
    outcomes = Counter(report["public"]["outcomes"])
    assert sum(outcomes[str(status)] for status in (300, 301, 302, 303, 307, 308)) == len(corpus()["redirects"])
    assert outcomes["200"] == len(INNER_IPV4) + len(INNER_IPV6)


def test_what_is_public_is_reached(report: dict[str, Any]) -> None:
    assert report["allowed"]["outcomes"] == {"200": 4}


@pytest.mark.parametrize("client", ["urllib3", "httpx"])
def test_what_others_would_write_gets_inside(report: dict[str, Any], client: str) -> None:
    theirs = report[client]
    assert sum(count for address, count in theirs["connections"].items() if address not in PUBLIC) >= 1500
    assert sum(count for address, count in theirs["requests"].items() if address not in PUBLIC) >= 500
