"""What a project's handlers get in the template, and what is refused."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.project_template import FUNCTION, render_template
from coatcheck_infra.project.template_handlers import HANDLER_POLICY, HANDLER_ROLE
from coatcheck_infra.template import read_template

Json = dict[str, Any]

LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:fonts:3"


base = functools.cache(read_template)


def rendered(**handlers: Any) -> Json:
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], "lanes": {"gpu": {}}, "handlers": handlers})
    return render_template(base(), config)


def functions(template: Json, key: str) -> dict[str, Any]:
    """The value of `key` of each function that has it."""
    found = {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == FUNCTION}
    return {name: properties[key] for name, properties in found.items() if key in properties}


def test_functions_that_run_jobs_get_it_and_no_other() -> None:
    template = rendered(
        environment={"MODEL": "small"},
        secrets={"PAYMENTS_KEY": "payments/key"},
        layers=[LAYER],
        vpc={"subnets": ["subnet-0a"], "security-groups": ["sg-0b"]},
    )
    workers = {"DefaultWorker", "GpuWorker"}
    own = {"MODEL": "small", "COATCHECK_SECRETS": '{"PAYMENTS_KEY": "payments/key"}'}
    environments = functions(template, "Environment")
    assert {name for name, one in environments.items() if not own.keys().isdisjoint(one["Variables"])} == workers
    assert all(environments[name]["Variables"] == own for name in workers)
    assert functions(template, "Layers") == {name: [LAYER] for name in workers}
    network = {"SubnetIds": ["subnet-0a"], "SecurityGroupIds": ["sg-0b"]}
    assert functions(template, "VpcConfig") == dict.fromkeys(workers, network)
    roles = {name for name, one in template["Resources"].items() if "ManagedPolicyArns" in one.get("Properties", {})}
    assert roles == {"WorkerRole"}


def test_secrets_are_allowed_by_name_and_nothing_else_is() -> None:
    template = rendered(secrets={"KEY_A": "one", "KEY_B": "two", "KEY_C": "one"})
    policy = template["Resources"][HANDLER_POLICY]["Properties"]
    assert policy["Roles"] == [{"Ref": "WorkerRole"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "secretsmanager:GetSecretValue")
    arns = [one["Fn::Sub"].rpartition(":secret:")[2] for one in statement["Resource"]]
    assert arns == ["one-??????", "two-??????"]
    assert HANDLER_POLICY not in rendered()["Resources"]


def test_what_policies_allow_is_a_role_of_handlers_that_the_worker_assumes() -> None:
    allowed: list[Json] = [
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:us-east-1:1:orders"},
        {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "arn:aws:kms:us-east-1:1:key/k"},
    ]
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], "handlers": {"secrets": {"KEY_A": "one"}}})
    template = render_template(base(), config, allowed)
    role = template["Resources"][HANDLER_ROLE]["Properties"]
    assert role["Policies"][0]["PolicyDocument"]["Statement"] == allowed
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": {"Fn::GetAtt": ["WorkerRole", "Arn"]}}
    worker = template["Resources"][HANDLER_POLICY]["Properties"]
    assert worker["Roles"] == [{"Ref": "WorkerRole"}]
    read, assume, decrypt = worker["PolicyDocument"]["Statement"]
    assert read["Action"] == "secretsmanager:GetSecretValue"
    assert (assume["Action"], assume["Resource"]) == ("sts:AssumeRole", {"Fn::GetAtt": ["HandlerRole", "Arn"]})
    assert decrypt == allowed[1]
    variables = {name: one["Variables"] for name, one in functions(template, "Environment").items()}
    told = {name for name, one in variables.items() if "COATCHECK_HANDLER_ROLE" in one}
    assert told == {"DefaultWorker"}


@pytest.mark.parametrize(
    ("handlers", "said"),
    [
        (
            {"environment": {"COATCHECK_TABLE": "mine"}},
            r"handlers\.environment\.COATCHECK_TABLE: names with COATCHECK_",
        ),
        ({"environment": {"aws_region": "x"}}, "names with COATCHECK_ and AWS_ are those of Coatcheck and of Lambda"),
        ({"environment": {"LAMBDA_TASK_ROOT": "x"}}, "Lambda reserves this name"),
        ({"environment": {"_HANDLER": "x"}}, "begins with a letter"),
        ({"secrets": {"AWS_SECRET_ACCESS_KEY": "x"}}, r"handlers\.secrets\.AWS_SECRET_ACCESS_KEY: names with"),
        ({"environment": {"KEY": "v"}, "secrets": {"KEY": "n"}}, "KEY is in environment and in secrets"),
        ({"environment": {"KEY": "{{resolve:secretsmanager:k}}"}}, "would write the secret into the function"),
        ({"secrets": {"KEY": "arn:aws:secretsmanager:x:1:secret:k"}}, "must be the name of a secret"),
        ({"secrets": {"KEY": "pay*"}}, "must be the name of a secret"),
        ({"secrets": {"KEY": "WebhookKey-4abc"}}, "Coatcheck's own key of webhooks"),
        ({"layers": ["fonts"]}, '"fonts" is not the ARN of a layer\'s version'),
        ({"vpc": {"subnets": ["a"], "security-groups": ["sg-0b"]}}, r'vpc\.subnets: "a" is not the id of a subnet'),
        ({"vpc": {"subnets": ["subnet-0a"], "security-groups": ["b"]}}, "is not the id of a security group"),
        ({"environment": {"TEXT": "é" * 1500}}, "variables of DefaultWorker may take .* Lambda has room for 4096"),
        ({"secrets": {f"KEY_{n}": "n" * 100 for n in range(25)}}, "variables of DefaultWorker may take"),
    ],
)
def test_what_cannot_be_deployed_is_refused_in_one_line(handlers: Json, said: str) -> None:
    with pytest.raises(ProjectError, match=said) as refused:
        rendered(**handlers)
    assert "\n" not in str(refused.value)


def test_no_value_of_a_secret_is_anywhere_in_the_template() -> None:
    # only names are declared: a template is as public as the repository
    text = json.dumps(rendered(secrets={"PAYMENTS_KEY": "payments/key"}))
    assert text.count("payments/key") == 3
