"""`coatcheck keys` as an owner types it, on the stores of both emulators."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.cli.main import main
from coatcheck.core.api_keys import OPERATOR_SCOPES, TENANT_SCOPES, read_key
from coatcheck.core.aws.dynamodb.key_items import get_imported, get_key
from coatcheck.core.clock import DAY, HOUR
from coatcheck.core.settings import Settings
from coatcheck_infra.local.api_keys import put_keys
from coatcheck_infra.local.home import Home
from coatcheck_infra.local.resources import client, stores_template
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_infra.ops.target_deployment import find_deployment
from coatcheck_infra.template import read_template
from tests.aws.dead_letters.dead_letter_harness import environment_of

NOW = 1_800_000_000_000

Keys = Callable[..., tuple[int, str, str]]


@pytest.fixture
def keys(
    settings: Settings, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Keys:
    """Types `coatcheck keys …` where the environment names the deployment; its exit code, stdout and stderr."""
    for name, value in (shell | environment_of(settings)).items():
        monkeypatch.setenv(name, value)

    def keys(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["keys", *argv])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return keys


@pytest.fixture
def store(aws: Transport, settings: Settings) -> KeyStore:
    return KeyStore(aws, settings.table)


def test_a_key_is_printed_alone_and_kept_as_its_hash(keys: Keys, store: KeyStore, tenant: str) -> None:
    code, out, err = keys("create", tenant, "--name", "ci", "--expires-in", "2")
    assert (code, out.count("\n")) == (0, 1)
    presented = read_key(out.strip())
    assert presented.has_id
    key = store.find(presented.id)
    assert key.matches(presented)
    assert (key.tenant, key.name, key.scopes, key.state(key.created_at)) == (tenant, "ci", TENANT_SCOPES, "active")
    assert key.expires_at == key.created_at + 2 * DAY
    assert err.startswith(f"{presented.id} of {tenant}, until ")
    assert out.strip() not in err


def test_the_list_shows_active_keys_and_no_secret(keys: Keys, tenant: str) -> None:
    made = [json.loads(keys("create", tenant, "--json", *more)[1]) for more in ([], ["--scope", "jobs:read"])]
    assert [one["scopes"] for one in made] == [sorted(TENANT_SCOPES), ["jobs:read"]]
    assert keys("revoke", made[0]["id"])[1].startswith(f"revoked {made[0]['id']} of {tenant}; ")
    code, out, _ = keys("list", "--tenant", tenant, "--json")
    assert (code, [json.loads(line)["id"] for line in out.splitlines()]) == (0, [made[1]["id"]])
    _, every, _ = keys("list", "--tenant", tenant, "--all", "--json")
    assert [json.loads(line)["state"] for line in every.splitlines()] == ["revoked", "active"]
    _, table, _ = keys("list", "--tenant", tenant, "--all")
    for one in made:
        assert one["id"] in table
        assert one["key"].rpartition("_")[2] not in every + table
    assert keys("list", "--tenant", f"{tenant}x")[1:] == ("", "no keys\n")
    keys("revoke", made[1]["id"])
    assert keys("list", "--tenant", tenant)[1:] == ("", "no active keys; for the others, --all\n")


def test_a_rotated_key_gets_an_end_and_its_successor_the_same_rights(keys: Keys, store: KeyStore, tenant: str) -> None:
    old = json.loads(keys("create", tenant, "--json", "--scope", "jobs:read", "--expires-in", "30")[1])
    code, out, err = keys("rotate", old["id"], "--overlap", "2")
    assert code == 0
    new, before = store.find(read_key(out.strip()).id), store.find(old["id"])
    assert (new.tenant, new.scopes) == (tenant, frozenset({"jobs:read"}))
    assert new.expires_at == new.created_at + 30 * DAY
    assert before.expires_at is not None
    assert new.created_at <= before.expires_at - 2 * HOUR <= new.created_at + 60_000
    assert f"{old['id']} works until " in err
    keys("revoke", old["id"])
    code, out, err = keys("rotate", old["id"])
    assert (code, out, err) == (2, "", f"coatcheck: {old['id']} is revoked: create a new key for {tenant}\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("create", "a b"), "coatcheck: `a b` cannot be a tenant: use 1 to 64 of"),
        (("create", "#keys"), "coatcheck: `#keys` cannot be a tenant"),
        (("create", "acme", "--name", "a\nb"), "coatcheck: --name: use up to 100 printable characters"),
        (("revoke", "key_none"), "coatcheck: there is no key `key_none`: see `coatcheck keys list`"),
        (("revoke", "#imported"), "coatcheck: there is no key `#imported`"),
        (("rotate", "x" * 99), "coatcheck: there is no key `xxx"),
        (("import",), "coatcheck: there is nothing to import"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_one_line(keys: Keys, argv: tuple[str, ...], said: str) -> None:
    code, out, err = keys(*argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)


@pytest.fixture
def stack_of_before(emulator_url: str, tenant: str) -> tuple[str, str]:
    """A stack of the version whose keys were a parameter, as it was deployed for a tenant; its name, and the key."""
    key, name = f"ck_{secrets.token_urlsafe(32)}", f"before-{secrets.token_hex(4)}"
    template: dict[str, Any] = stores_template(read_template())[0]
    template["Parameters"]["ApiKeys"] = {"Type": "String", "Default": "{}"}
    cloudformation = client("cloudformation", emulator_url)
    given = json.dumps({hashlib.sha256(key.encode()).hexdigest(): tenant})
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "ApiKeys", "ParameterValue": given}],
    )
    while cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS":
        time.sleep(0.05)
    return name, key


def test_the_keys_of_the_parameter_are_copied_into_the_table(
    keys: Keys, stack_of_before: tuple[str, str], shell: dict[str, str], tenant: str
) -> None:
    stack, text = stack_of_before
    presented = read_key(text)
    for _ in range(2):
        assert keys("import", "--stack", stack) == (0, f"{presented.id} is a key of {tenant}\n", "")
    target = find_deployment(stack, shell, Path("/"))
    key = target.aws.send(get_key(target.settings.table, presented.id))
    assert key is not None
    assert key.matches(presented)
    assert (key.tenant, key.scopes, key.name) == (tenant, TENANT_SCOPES, "imported")
    assert target.aws.send(get_imported(target.settings.table)) == {presented.id}


def test_the_keys_of_the_environment_are_copied_too(
    keys: Keys, store: KeyStore, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = secrets.token_bytes(32)
    monkeypatch.setenv("COATCHECK_API_KEYS", json.dumps({digest.hex(): tenant}))
    code, out, _ = keys("import")
    assert code == 0
    assert store.find(out.split()[0]).digest == digest


def test_up_lets_its_keys_in_whichever_version_made_them_and_revokes_those_that_it_has_no_longer(
    store: KeyStore, tenant: str, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    made = {tenant: store.create(tenant).text, f"{tenant}-2": f"cck_{secrets.token_urlsafe(24)}"}
    ids = [read_key(text).id for text in made.values()]
    foreign = store.create(tenant)
    for _ in range(2):
        put_keys(store.aws, store.table, made, home, NOW)
    assert [store.find(one).tenant for one in ids] == list(made)
    assert ids[1] in store.aws.send(get_imported(store.table))

    put_keys(store.aws, store.table, {}, home, NOW)
    # it made the second alone; the others are the owner's
    states = [store.find(one).state(NOW) for one in (*ids, foreign.key.id)]
    assert states == ["active", "revoked", "active"]
    with pytest.raises(UpError, match=rf"the key of tenant {tenant}-2 in .*/keys.json is revoked: delete this file"):
        put_keys(store.aws, store.table, made, home, NOW)


def test_each_change_of_a_key_is_a_line_of_the_audit_file(
    keys: Keys, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit.log"
    monkeypatch.setenv("COATCHECK_AUDIT_FILE", str(file))
    first = json.loads(keys("create", tenant, "--json")[1])
    second = json.loads(keys("rotate", first["id"], "--json")[1])
    keys("list")
    keys("revoke", second["id"])
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(entry["action"], entry["target"], entry["tenant"]) for entry in entries] == [
        ("key.created", first["id"], tenant),
        ("key.created", second["id"], tenant),
        ("key.end_set", first["id"], tenant),
        ("key.revoked", second["id"], tenant),
    ]
    assert {first["key"], second["key"]}.isdisjoint(file.read_text().split('"'))


def test_nothing_is_changed_where_the_audit_file_cannot_be_written(
    keys: Keys, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_AUDIT_FILE", str(tmp_path))
    code, out, err = keys("create", tenant)
    assert (code, out) == (2, "")
    assert err == f"coatcheck keys: COATCHECK_AUDIT_FILE: {tmp_path} cannot be written: Is a directory\n"


def test_an_operators_key_has_no_tenant_and_is_managed_as_the_others(keys: Keys, store: KeyStore) -> None:
    code, out, err = keys("create", "--operator", "--name", "on call")
    assert code == 0
    presented = read_key(out.strip())
    assert out.startswith("cco_")
    assert err.startswith(f"{presented.id} of an operator; ")
    key = store.find(presented.id)
    assert (key.tenant, key.scopes, key.matches(presented)) == ("", OPERATOR_SCOPES, True)
    reader = json.loads(keys("create", "--operator", "--read-only", "--json")[1])
    assert (reader["tenant"], reader["scopes"]) == (None, ["admin:read"])
    after = json.loads(keys("rotate", reader["id"], "--json")[1])
    assert (after["tenant"], after["scopes"], after["key"][:4]) == (None, ["admin:read"], "cco_")
    assert keys("revoke", after["id"])[1].startswith(f"revoked {after['id']} of an operator; ")
    listed = {one["id"]: one for one in map(json.loads, keys("list", "--all", "--json")[1].splitlines())}
    assert (listed[presented.id]["state"], listed[after["id"]]["state"]) == ("active", "revoked")
    assert "an operator" in keys("list", "--all")[1]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "name the TENANT of the key, or give --operator: an operator has no tenant"),
        (["acme", "--operator"], "name the TENANT of the key, or give --operator: an operator has no tenant"),
        (["--operator", "--scope", "admin"], "--scope is for tenants' keys; an operator's may be --read-only"),
        (["acme", "--read-only"], "--read-only is for operators' keys; use --scope jobs:read"),
    ],
    ids=["nobody", "both", "scope", "read-only"],
)
def test_a_key_is_a_tenants_or_an_operators(keys: Keys, argv: list[str], said: str) -> None:
    assert keys("create", *argv) == (2, "", f"coatcheck: {said}\n")
