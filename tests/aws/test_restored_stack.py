"""A stack that is given the table, the bucket and the secret of an earlier one uses them and makes none."""

from __future__ import annotations

import json
import secrets
import time

from coatcheck.core.settings import Settings
from coatcheck_infra.local.resources import client, stores_template
from coatcheck_infra.template import read_template

TYPES = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"}


def test_given_stores_are_used_and_none_is_made(emulator_url: str, settings: Settings) -> None:
    # MiniStack's Ref of a secret is its name
    key = client("secretsmanager", emulator_url).describe_secret(SecretId=settings.webhook_key)["ARN"]
    given = {
        "ExistingTable": settings.table,
        "ExistingBucket": settings.bucket,
        "ExistingWebhookKey": key,
    }
    stores, names = stores_template(read_template())
    cloudformation = client("cloudformation", emulator_url)
    stack = f"restored-{secrets.token_hex(4)}"
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps(stores),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
    )
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    while described["StackStatus"] == "CREATE_IN_PROGRESS":
        time.sleep(0.05)
        described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]

    assert described["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    variables = {name: outputs[f"Variable{number}"] for number, name in enumerate(names)}
    assert Settings.from_env(variables).table == settings.table
    assert (variables["COATCHECK_BUCKET"], outputs["BucketName"]) == (settings.bucket, settings.bucket)
    assert (variables["COATCHECK_WEBHOOK_KEY"], outputs["WebhookKeyArn"]) == (key, key)
    made = cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    assert made
    assert not TYPES & {resource["ResourceType"] for resource in made}
