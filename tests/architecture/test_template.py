"""infra/coatcheck_infra/template.yaml says what the code needs, and is what CloudFormation and Lambda take."""

import functools
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.helpers import REGIONS  # type: ignore[import-untyped]
from cfnlint.rules.resources.lmbd.SnapStartSupported import SnapStartSupported  # type: ignore[import-untyped]

from bench.bill_usage import MEMORY
from coatcheck.core.api.models import Problem
from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, TENANT_INDEX
from coatcheck.core.clock import SECOND
from coatcheck.core.errors import SERVICE_ERRORS
from coatcheck.core.settings import PREFIX, Settings
from coatcheck_infra.build import template_routes
from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.build.zip_specs import SERVICE, WORKER
from coatcheck_infra.project.config import ApiConfig, find_project
from coatcheck_infra.project.project_template import project_template
from coatcheck_infra.template import TEMPLATE, read_template
from coatcheck_service import api_key_cache, trust_cache
from coatcheck_service.actions.long_poll import MAX_WAIT_SECONDS
from coatcheck_service.front_door import LAMBDA
from tests.aws.service.proxied_path import project_with_proxy
from tests.aws.service.submits import LETTERS
from tests.example_jobs import CATALOG

DAY = 86_400
NOT_FOR_ALL: dict[str, set[str]] = {
    # of versions before keys were in the table; containers may still have it
    "COATCHECK_API_KEYS": set(),
    "COATCHECK_AUTHORIZER": {"ApiFunction"},
    "COATCHECK_SERVICE_PROXY": {"ApiFunction"},
    "COATCHECK_CORS_ORIGINS": {"ApiFunction", "AdminFunction"},
    "COATCHECK_ORIGIN_SECRET": {"ApiFunction", "AdminFunction"},
    "COATCHECK_PUBLIC_URL": {"ApiFunction", "AdminFunction", "Deliverer"},
    "COATCHECK_UPLOAD_GB_PER_DAY": {"ApiFunction"},
    "COATCHECK_MAX_JSON_BYTES": {"ApiFunction"},
    "COATCHECK_LONGEST_WAIT": {"ApiFunction"},
    "COATCHECK_MAX_WAITS": {"ApiFunction"},
    "COATCHECK_WAITS_PER_MINUTE": {"ApiFunction"},
    "COATCHECK_MAX_STREAMS": {"ApiFunction"},
    "COATCHECK_LONGEST_STREAM": {"ApiFunction"},
    "COATCHECK_WEBHOOK_REFUSED": {"Deliverer"},
    # nobody reaches a port of a function
    "COATCHECK_METRICS_PORT": set[str](),
    "COATCHECK_SECRETS": {"DefaultWorker", "HeavyWorker"},
    # where a project has policies
    "COATCHECK_HANDLER_ROLE": set[str](),
}
EVERYTHING = """\
[tool.coatcheck]
jobs = ["jobs.words"]

[tool.coatcheck.lanes]
default = { memory = 512 }
gpu-large = { memory = 4096, concurrency = 9 }
films = { kind = "lambda-managed", cpu = 2, memory = 8192, concurrency = 4, ready = 2 }

[tool.coatcheck.handlers]
environment = { MODEL = "small" }
secrets = { PAYMENTS_KEY = "payments/key" }
policies = "policies.json"
layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:fonts:3"]
vpc = { subnets = ["subnet-0a1b2c3d"], security-groups = ["sg-0a1b2c3d"] }

[tool.coatcheck.api]
front-door = "rest+function-url"
cors-origins = ["https://app.example.com", "https://admin.example.com"]
iam = "submit"
"""

FUNCTIONS = """\
default = { memory = 512 }
gpu-large = { memory = 4096, concurrency = 9 }
films = { kind = "lambda-managed", cpu = 2, memory = 8192, concurrency = 4, ready = 2 }
"""
IN_CONTAINERS = """\
default = { memory = 512 }
gpu-large = { kind = "container", cpu = 4, memory = 16384, concurrency = 9, ready = 0 }

[tool.coatcheck.containers]
services = ["api", "deliverer", "sweeper"]
vpc = "vpc-0a1b2c3d"
subnets = ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]
security-groups = ["sg-0a1b2c3d"]
"""


EXAMPLE = find_project(Path(__file__).parents[2])
PROJECT = project_template(EXAMPLE)


def with_api(**api: Any) -> dict[str, Any]:
    """The template of the example, where it has this `[tool.coatcheck.api]`."""
    config = EXAMPLE.config.model_copy(update={"api": ApiConfig.model_validate(api)})
    return project_template(replace(EXAMPLE, config=config))


@functools.cache
def translation() -> dict[str, Any]:
    """What CloudFormation gets of the template of the example, if it had an authorizer."""
    return translate_template(template=with_api(authorizer=True))


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: one["Properties"] for name, one in translation()["Resources"].items() if one["Type"] == f"AWS::{kind}"
    }


def test_the_template_sets_every_setting_and_no_other() -> None:
    settings = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    for name, function in resources("Lambda::Function").items():
        wanted = {setting for setting in settings if name in NOT_FOR_ALL.get(setting, {name})}
        assert set(function["Environment"]["Variables"]) == wanted, name


def test_the_settings_of_the_template_are_a_deployment() -> None:
    variables = PROJECT["Globals"]["Function"]["Environment"]["Variables"]
    retention = read_template()["Mappings"]["Retention"]["7"]["Seconds"]
    parameters = read_template()["Parameters"]
    plain = {
        name: value
        if isinstance(value, str)
        else value.get("Fn::Sub") or parameters.get(value.get("Ref"), {}).get("Default", retention)
        for name, value in variables.items()
    }
    settings = Settings.from_env(plain)
    assert settings.log == "json"
    assert settings.job_modules == find_project(Path(__file__).parents[2]).config.jobs
    assert settings.webhook_targets == "public"
    assert set(settings.lanes) >= {job_type.lane for job_type in CATALOG.values()}


def test_losing_the_key_of_the_webhooks_takes_more_than_a_deploy() -> None:
    key = read_template()["Resources"]["WebhookKey"]
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert key["Properties"]["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}


@pytest.mark.parametrize("parameter", ["DefaultRetentionDays", "MaxRetentionDays"])
def test_the_retention_of_each_number_of_days_is_right(parameter: str) -> None:
    mapping = read_template()["Mappings"]["Retention"]
    assert list(mapping) == read_template()["Parameters"][parameter]["AllowedValues"]
    for days, row in mapping.items():
        assert int(row["Seconds"]) == int(days) * DAY
        assert row["BucketDays"] == int(days) + 1
    assert len({row["Letter"] for row in mapping.values()}) == len(mapping)


def test_what_a_request_may_carry_is_carried_by_lambda() -> None:
    mapping = read_template()["Mappings"]["Megabytes"]
    assert list(mapping) == read_template()["Parameters"]["MaxJsonMegabytes"]["AllowedValues"]
    for number, row in mapping.items():
        assert int(row["Bytes"]) == int(number) * 1024**2 < LAMBDA.max_body


def test_a_wait_is_over_before_api_gateway_gives_up() -> None:
    waits = read_template()["Parameters"]["LongestWait"]["AllowedValues"]
    assert {"0", str(MAX_WAIT_SECONDS)} < set(waits)
    assert max(map(int, waits)) == MAX_WAIT_SECONDS


def test_the_routes_are_those_of_the_service() -> None:
    template = TEMPLATE.read_text()
    assert template == template_routes.splice_routes(
        template, template_routes.render_routes(template_routes.list_operations(template_routes.service()))
    )


def test_a_route_that_the_template_lacks_is_noticed() -> None:
    service = template_routes.service()
    before = template_routes.render_routes(template_routes.list_operations(service))

    service.add_api_route("/v1/one-more", lambda: None)
    service.openapi_schema = None
    assert template_routes.render_routes(template_routes.list_operations(service)) != before


def test_the_contract_and_its_pages_are_routes() -> None:
    paths = template_routes.list_operations(template_routes.service())
    assert paths["/v1/jobs"] == {"get": "else", "head": "else", "options": None, "post": "submit"}
    assert paths["/v1/jobs/{job_id}/cancel"] == {"options": None, "post": "else"}
    assert paths["/openapi.json"] == paths["/docs"] == {"get": None, "head": None, "options": None}
    assert paths["/v1/health"] == {"get": None, "head": None, "options": None}


def test_a_template_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="each of these two lines once"):
        template_routes.splice_routes("Resources: {}\n", "")


def test_every_route_goes_to_the_published_version_of_the_api_or_to_the_function_of_operators() -> None:
    api = resources("ApiGateway::RestApi")["Api"]["Body"]
    listed = template_routes.list_operations(template_routes.service())
    assert {path: set(verbs) for path, verbs in api["paths"].items()} == {path: set(listed[path]) for path in listed}
    for name, path in api["paths"].items():
        for operation in path.values():
            integration = operation["x-amazon-apigateway-integration"]
            function = "${AdminFunction.Arn}" if name.startswith("/v1/admin/") else "${ApiFunctionAliaslive}"
            assert function in integration["uri"]["Fn::Sub"]
            assert integration["timeoutInMillis"] <= 29_000
    assert api["x-amazon-apigateway-binary-media-types"] == ["*/*"]


def test_what_api_gateway_answers_itself_is_a_problem_that_the_service_knows() -> None:
    own = {"too-many-requests": "Too many requests", "forbidden": "Forbidden"}
    titles = {error.code: error.title for error in SERVICE_ERRORS} | own
    answers = resources("ApiGateway::RestApi")["Api"]["Body"]["x-amazon-apigateway-gateway-responses"]
    for name, answer in answers.items():
        problem = Problem.model_validate_json(answer["responseTemplates"]["application/json"])
        assert problem.title == titles[problem.code], name
        assert str(problem.status) == str(answer["statusCode"]), name
        headers = answer["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'", name
        assert headers["gatewayresponse.header.Cache-Control"] == "'no-store'", name


def security_of(template: dict[str, Any]) -> dict[str, set[str]]:
    """The kinds of credentials of the methods that the request validator or an authorizer asks for some."""
    body = template["Resources"]["Api"]["Properties"]["DefinitionBody"]
    found: dict[str, set[str]] = {}
    for path, operations in body["paths"].items():
        for verb, operation in operations.items():
            (scheme,) = operation.get("security", [{}])
            asked = "header" if operation.get("parameters") else ""
            assert ("x-amazon-apigateway-request-validator" in operation) == bool(asked)
            found.setdefault(" ".join([*scheme, asked]).strip(), set()).add(f"{verb} {path}")
    return found


def test_a_method_without_credentials_is_refused_by_api_gateway() -> None:
    plain = security_of(PROJECT)
    assert plain.keys() == {"", "header"}
    assert not [one for one in plain[""] if "/v1/" in one and not one.startswith("options") and "health" not in one]
    assert not [one for one in plain["header"] if "/v1/" not in one]


@pytest.mark.parametrize(
    ("api", "schemes"),
    [
        ({}, {"header": "get /v1/jobs", "": "get /v1/health"}),
        (
            {"authorizer": True},
            {"bearer header": "get /v1/jobs", "header": "get /v1/admin/jobs", "": "get /v1/health"},
        ),
        ({"iam": "submit"}, {"iam": "post /v1/jobs", "header": "get /v1/jobs", "": "get /docs"}),
        (
            {"iam": "submit", "authorizer": True},
            {
                "iam": "post /v1/uploads",
                "bearer header": "post /v1/jobs/{job_id}/cancel",
                "header": "delete /v1/admin/queues/{lane}/dead-letters/{message_id}",
                "": "options /v1/jobs",
            },
        ),
        (
            {"iam": "all"},
            {"iam": "delete /v1/jobs/{job_id}", "header": "get /v1/admin/tenants", "": "get /v1/health"},
        ),
    ],
    ids=str,
)
def test_a_project_decides_which_credentials_a_method_takes(api: dict[str, Any], schemes: dict[str, str]) -> None:
    template = with_api(**api)
    found = security_of(template)
    assert found.keys() == schemes.keys()
    assert all(one in found[scheme] for scheme, one in schemes.items())
    declared = template["Resources"]["Api"]["Properties"]["DefinitionBody"].get("components", {"securitySchemes": {}})
    assert declared["securitySchemes"].keys() == {word for scheme in found for word in scheme.split()} - {"header"}
    variables = template["Resources"]["ApiFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["COATCHECK_AUTHORIZER"] == ("on" if api.get("authorizer") else "off")
    assert "x-coatcheck" not in json.dumps(template)


def test_a_revoked_key_is_refused_everywhere_within_a_minute() -> None:
    (scheme,) = resources("ApiGateway::RestApi")["Api"]["Body"]["components"]["securitySchemes"].values()
    kept = scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"]
    # API Gateway asks no function without the header only where it keeps what the function says
    assert kept > 0
    assert kept * SECOND + max(api_key_cache.TTL, trust_cache.TTL) <= 60 * SECOND


def reaching(value: Any, parameters: set[str]) -> set[str]:
    """The parameters that a value depends on, those of its conditions among them."""
    inner: list[Any] = []
    match value:
        case {"Ref": str(name)}:
            return {name} & parameters
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)\}", text)) & parameters
        case {"Fn::Sub": [str(text), names]}:
            inner = [{"Fn::Sub": text}, names]
        case {"Fn::If": [str(condition), *branches]}:
            inner = [translation()["Conditions"][condition], *branches]
        case dict():
            inner = list(value.values())
        case list():
            inner = value
    return set().union(*(reaching(one, parameters) for one in inner))


@pytest.mark.parametrize("name", ["ApiFunction", "AuthorizerFunction"])
def test_a_changed_parameter_publishes_a_version(name: str) -> None:
    parameters = set(read_template()["Parameters"])
    versions = {one["FunctionName"]["Ref"]: one for one in resources("Lambda::Version").values()}
    said = reaching(versions[name]["Description"], parameters)
    function = resources("Lambda::Function")[name]
    # what is reserved belongs to the function, not to a version of it
    versioned = {name: value for name, value in function.items() if name != "ReservedConcurrentExecutions"}
    # coatcheck_infra.ops.deploy refuses to change these of a stack that is there
    assert said == reaching(versioned, parameters) - {"ExistingTable", "ExistingBucket", "ExistingWebhookKey"}


def test_the_description_of_a_version_is_never_too_long_for_lambda() -> None:
    url = read_template()["Parameters"]["PublicUrl"]["MaxLength"]
    assert len(f"{'u' * url} aha999999s25 4") <= 256


def test_lambda_asks_a_queue_for_no_more_than_it_may() -> None:
    sources = resources("Lambda::EventSourceMapping")
    batches = {one["EventSourceArn"]["Fn::GetAtt"][0]: one["BatchSize"] for one in sources.values()}
    assert batches == {"DefaultQueue": 1, "HeavyQueue": 1, "WebhooksQueue": 10}
    for one in sources.values():
        queue = resources("SQS::Queue")[one["EventSourceArn"]["Fn::GetAtt"][0]]
        worker = resources("Lambda::Function")[one["FunctionName"]["Ref"]]
        assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
        assert one["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert "MaximumConcurrency" in one["ScalingConfig"]
        assert "ReservedConcurrentExecutions" not in worker


def default_of(parameter: str) -> int:
    return int(read_template()["Parameters"][parameter]["Default"])


def test_the_defaults_leave_room_for_the_api_and_the_sweeper_in_a_new_account() -> None:
    lanes = [
        one["ScalingConfig"]["MaximumConcurrency"]["Ref"] for one in resources("Lambda::EventSourceMapping").values()
    ]
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: new accounts have reduced quotas
    assert sum(map(default_of, lanes)) <= 10 - 3


@pytest.mark.parametrize("function", ["ApiFunction", "Sweeper"])
def test_concurrency_is_reserved_only_where_it_is_asked_for(function: str) -> None:
    condition, parameter, otherwise = resources("Lambda::Function")[function]["ReservedConcurrentExecutions"]["Fn::If"]
    assert translation()["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [parameter, 0]}]}
    assert (default_of(parameter["Ref"]), otherwise) == (0, {"Ref": "AWS::NoValue"})


def test_a_sweep_that_could_not_start_within_its_minute_is_dropped() -> None:
    (invoked,) = resources("Lambda::EventInvokeConfig").values()
    (rule,) = resources("Events::Rule").values()
    (target,) = rule["Targets"]
    for waits in (invoked, target["RetryPolicy"]):
        assert (waits["MaximumRetryAttempts"], waits["MaximumEventAgeInSeconds"]) == (0, 60)


def test_each_queue_gives_up_to_dead_letters_of_its_own() -> None:
    queues = resources("SQS::Queue")
    given_up = [
        one["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for one in queues.values()
        if "RedrivePolicy" in one
    ]
    assert sorted(given_up) == ["DefaultDeadLetters", "HeavyDeadLetters", "WebhooksDeadLetters"]
    assert all(one["SqsManagedSseEnabled"] and one["MessageRetentionPeriod"] == 14 * DAY for one in queues.values())


def test_the_indexes_are_those_that_the_kernel_asks() -> None:
    assert {index["IndexName"] for index in resources("DynamoDB::Table")["Table"]["GlobalSecondaryIndexes"]} == {
        DUE_INDEX,
        TENANT_INDEX,
    }


def test_each_function_calls_a_handler_that_its_zip_is_checked_for() -> None:
    functions = {
        name: one for name, one in read_template()["Resources"].items() if one["Type"] == "AWS::Serverless::Function"
    }
    for name, function in functions.items():
        zipped = Path(function["Properties"]["CodeUri"])
        (part,) = (part for part in (SERVICE, WORKER) if part.name == zipped.stem)
        assert zipped.parts == ("..", "..", "example", "build", "lambda", f"{part.name}.zip")
        assert function["Properties"]["Handler"] in part.handlers, name


def test_each_function_logs_to_a_group_that_forgets() -> None:
    groups = resources("Logs::LogGroup")
    assert all("RetentionInDays" in group for group in groups.values())
    for function in resources("Lambda::Function").values():
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups


def test_lambda_itself_logs_a_line_for_each_attempt_of_a_job_and_for_what_fails() -> None:
    for name, function in resources("Lambda::Function").items():
        level = function["LoggingConfig"].get("SystemLogLevel")
        assert level == (None if name in {"DefaultWorker", "HeavyWorker"} else "WARN"), name


def test_the_bill_is_that_of_the_template() -> None:
    functions = read_template()["Resources"]
    workers = read_template()["Parameters"]["DefaultLaneMemory"]["Default"]
    api, deliverer = (functions[name]["Properties"]["MemorySize"] for name in ("ApiFunction", "Deliverer"))
    of_api = dict.fromkeys(["submit", "look", "fetch"], api)
    assert {**of_api, "run": workers, "deliver": deliverer} == MEMORY


def holds(condition: Any, given: dict[str, str]) -> bool:
    """Whether a condition of the template holds, where `given` are the values of what it refers to."""
    match condition:
        case {"Fn::And": conditions}:
            return all(holds(one, given) for one in conditions)
        case {"Fn::Not": [one]}:
            return not holds(one, given)
        case {"Fn::Equals": [{"Ref": str(name)}, str(value)]}:
            return given[name] == value
    raise AssertionError(condition)


def test_a_snapshot_is_asked_for_in_the_regions_that_offer_one_unless_it_is_switched_off() -> None:
    condition, asked, otherwise = resources("Lambda::Function")["ApiFunction"]["SnapStart"]["Fn::If"]
    assert (asked, otherwise) == ({"ApplyOn": "PublishedVersions"}, {"Ref": "AWS::NoValue"})

    def snapshot(region: str, switch: str) -> bool:
        partition = boto3.Session().get_partition_for_region(region)
        given = {"SnapStart": switch, "AWS::Partition": partition, "AWS::Region": region}
        return holds(translation()["Conditions"][condition], given)

    assert {region for region in REGIONS if snapshot(region, "on")} == set(SnapStartSupported().regions)
    assert not any(snapshot(region, "off") for region in REGIONS)


def test_nothing_but_api_gateways_own_names_a_partition() -> None:
    assert not re.findall(r"arn:aws[:-]|amazonaws\.com\.cn|\.amazonaws\.com/", TEMPLATE.read_text())


def test_cfn_lint_finds_nothing_in_what_cloudformation_gets_in_any_region(tmp_path: Path) -> None:
    file = tmp_path / "translated.json"
    file.write_text(json.dumps(translation()))
    # E2530 looks for SnapStart without its condition: that is what the test above is for
    command = (Path(sys.executable).with_name("cfn-lint"), "--regions", "ALL_REGIONS", "--ignore-checks", "E2530")
    linted = subprocess.run([*command, "--", file], capture_output=True, text=True, check=False, timeout=240)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_cfn_lint_finds_nothing_in_what_a_project_adds(tmp_path: Path) -> None:
    (tmp_path / "policies.json").write_text(
        '[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:${AWS::Partition}:s3:::models/*"}]'
    )
    (tmp_path / "pyproject.toml").write_text(EVERYTHING)
    templates = [project_template(find_project(tmp_path)), with_api(**{"front-door": "alb"})]
    (tmp_path / "pyproject.toml").write_text(
        EVERYTHING.replace(FUNCTIONS, IN_CONTAINERS).replace("rest+function-url", "rest+alb")
    )
    templates += [project_template(find_project(tmp_path)), project_with_proxy(LETTERS)]
    image = dict.fromkeys(("ApiImage", "WorkerImage"), f"words@sha256:{'0' * 64}")
    files = [tmp_path / f"{number}.json" for number in range(len(templates))]
    for file, template in zip(files, templates, strict=True):
        file.write_text(json.dumps(translate_template(image, template)))
    command = (Path(sys.executable).with_name("cfn-lint"), "--regions", "eu-central-1", "--ignore-checks", "E2530")
    linted = subprocess.run([*command, "--", *files], capture_output=True, text=True, check=False, timeout=240)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
