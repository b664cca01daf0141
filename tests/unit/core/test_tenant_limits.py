"""What the limits of a tenant say."""

from __future__ import annotations

import pytest

from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits


@pytest.mark.parametrize(
    ("limits", "burst"),
    [
        (TenantLimits(submit_rate=0.1), 1),
        (TenantLimits(submit_rate=2.5), 3),
        (TenantLimits(submit_rate=50, submit_burst=5), 5),
    ],
)
def test_without_a_burst_it_is_the_submits_of_a_second(limits: TenantLimits, burst: int) -> None:
    assert limits.burst == burst


def test_a_limit_of_0_is_a_limit() -> None:
    assert TenantLimits(jobs_running=0).caps_running
    assert TenantLimits(jobs_running_by_type={"demo.sleep": 1}).caps_running
    assert not NO_LIMITS.caps_running
