"""`coatcheck limits` as an owner types it, on the stores of an emulator."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.cli.main import main
from coatcheck.core.aws.dynamodb.limit_items import get_limits
from coatcheck.core.priority import Priority
from coatcheck.core.settings import Settings
from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits
from tests.aws.dead_letters.dead_letter_harness import environment_of

# both emulators keep the items alike (tests/aws/test_limit_items.py)
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

Limits = Callable[..., tuple[int, str, str]]


@pytest.fixture
def limits(
    settings: Settings, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Limits:
    """Types `coatcheck limits …` where the environment names the deployment; its exit code, stdout and stderr."""
    for name, value in (shell | environment_of(settings)).items():
        monkeypatch.setenv(name, value)

    def limits(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["limits", *argv])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return limits


def test_limits_are_set_shown_and_cleared(limits: Limits, aws: Transport, settings: Settings, tenant: str) -> None:
    code, out, err = limits("set", tenant, "submit_rate=2.5", "jobs_running=3", "priority_max=normal")
    assert (code, "in 30 s" in err) == (0, True)
    for name, value in (("submit_rate", "2.5"), ("jobs_running", "3"), ("priority_max", "normal")):
        assert any(line.split() == [tenant, name, value] for line in out.splitlines())
    for job_type, count in (("demo.sleep", 1), ("demo.echo", 0)):
        limits("set", tenant, f"jobs_running_by_type.{job_type}={count}")
    by_type = {"demo.sleep": 1, "demo.echo": 0}
    expected = TenantLimits(submit_rate=2.5, jobs_running=3, jobs_running_by_type=by_type, priority_max=Priority.NORMAL)
    assert aws.send(get_limits(settings.table, tenant)) == expected
    shown = json.loads(limits("show", tenant, "--json")[1])
    assert (shown["tenant"], shown["jobs_running_by_type"], shown["jobs_waiting"]) == (tenant, by_type, None)
    assert tenant in limits("show")[1]
    limits("clear", tenant, "jobs_running_by_type", "priority_max")
    assert aws.send(get_limits(settings.table, tenant)) == TenantLimits(submit_rate=2.5, jobs_running=3)
    assert limits("clear", tenant)[0] == 0
    assert aws.send(get_limits(settings.table, tenant)) == NO_LIMITS
    code, out, err = limits("show", tenant)
    assert (code, out, err) == (0, "", "no limits\n")
    assert tenant not in limits("show")[1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("submit_rate", "write LIMIT=VALUE"),
        ("submit_rates=1", "did you mean `submit_rate`?"),
        ("submit_rate=0", "submit_rate: input should be greater than or equal to 0.001"),
        ("jobs_running=many", "jobs_running: input should be a valid integer"),
        ("jobs_running=1.5", "jobs_running: input should be a valid integer"),
        ("jobs_running=true", "jobs_running: input should be a valid integer"),
        ("submit_rate=NaN", "submit_rate: "),
        ("priority_max=urgent", "priority_max: input should be 'low', 'normal' or 'high'"),
        ("jobs_running_by_type.demo.sleep=-1", "jobs_running_by_type.demo.sleep: input should be greater"),
        ("webhook_endpoints=201", "webhook_endpoints: input should be less than or equal to 200"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(limits: Limits, tenant: str, given: str, says: str) -> None:
    code, out, err = limits("set", tenant, given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_tenant_must_be_one(limits: Limits) -> None:
    code, _, err = limits("set", "a#b", "submit_rate=1")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be a tenant" in err
