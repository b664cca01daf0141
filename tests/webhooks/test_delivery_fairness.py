"""A dead receiver and a slow one hold up no other.

How much it waits all the same: `python -m bench.webhook_latency`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.webhook_latency import compare
from coatcheck.core.clock import SECOND
from coatcheck_worker.webhooks.sender import RESPONSE_TIMEOUT


@pytest.mark.timeout(200)
def test_no_event_to_a_good_receiver_waits_for_what_goes_to_a_dead_one(tmp_path: Path) -> None:
    alone, beside = compare(tmp_path, events=60, rate=3.0, threads=8)
    assert (alone.lost, beside.lost) == (0, 0)
    # on a machine so busy that a delivery takes long in any case, what it takes alone is the measure
    assert beside.p99 < max(RESPONSE_TIMEOUT * SECOND, 3 * alone.p99)
