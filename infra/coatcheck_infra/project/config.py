"""What an owner decides: `[tool.coatcheck]` of the project's pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from coatcheck.core.messages import Tenant
from coatcheck.core.suggestions import unknown
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.toml_table import TomlTable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PYPROJECT = "pyproject.toml"
DEFAULT_LANE = "default"
PythonVersion = Literal["3.13", "3.14"]
DEFAULT_PYTHON: PythonVersion = "3.13"

MODULE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
LANE = r"^[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
BASE_IMAGE = r"^[a-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$"
ORIGIN = r"^https?://[A-Za-z0-9.:\[\]-]+$"
LAYER = r"^arn:[^:]+:lambda:[^:]+:[^:]+:layer:[A-Za-z0-9_-]+:[0-9]+$"
WEB_ADAPTER = f"{LAYER}|{BASE_IMAGE}"
FORMS = {
    MODULE: "the name of a module, as jobs.words",
    LANE: "lower-case letters and digits, with hyphens between words that begin with a letter, as big-images",
    VARIABLE: "the name of a variable, as PAYMENTS_KEY",
    BASE_IMAGE: "an image with its digest, as python:3.13-slim-trixie@sha256:… (docs/containers.md)",
    ORIGIN: "the origin of a page, as https://app.example.com",
    LAYER: "the ARN of a layer's version, as arn:aws:lambda:eu-central-1:123456789012:layer:name:1",
    WEB_ADAPTER: "the ARN of a layer's version, or an image with its digest, as "
    "public.ecr.aws/awsguru/aws-lambda-adapter:1.1.0@sha256:…",
}
"""What a name of each form is, for messages."""

ModuleName = Annotated[str, Field(pattern=MODULE)]
LaneName = Annotated[str, Field(pattern=LANE, max_length=20)]
VariableName = Annotated[str, Field(pattern=VARIABLE)]
Origin = Annotated[str, Field(pattern=ORIGIN)]
LayerArn = Annotated[str, Field(pattern=LAYER)]

FrontDoors = Literal["rest", "function-url", "alb", "rest+function-url", "rest+alb"]
"""The doors of a deployment: one, or a REST API and another."""


class ProjectError(Exception):
    """The project cannot be used. The message is one line that says what is wrong and what would be right."""


class Vpc(TomlTable):
    """The network that the functions which run jobs are in."""

    subnets: list[str] = Field(min_length=1, description="ids of subnets")
    security_groups: list[str] = Field(min_length=1, max_length=5, description="ids of security groups")


class HandlersConfig(TomlTable):
    """What handlers get on AWS."""

    environment: dict[VariableName, str] = Field(default_factory=dict, description="environment variables")
    secrets: dict[VariableName, str] = Field(
        default_factory=dict, description="names of secrets in Secrets Manager, by the name that `ctx.secret` takes"
    )
    policies: Path | None = Field(default=None, description="a JSON file of IAM statements, below the project")
    layers: list[str] = Field(default_factory=list, max_length=5, description="ARNs of Lambda layers")
    vpc: Vpc | None = Field(default=None, description="the network of the functions that run jobs")


class ApiConfig(TomlTable):
    """What clients reach the API by, and which credentials are checked in front of it, on AWS."""

    front_door: FrontDoors = Field(default="rest", description="what clients reach the API by")
    cloudfront: bool = Field(default=False, description="whether CloudFront is in front of the function URL")
    streaming: bool = Field(default=False, description="whether the function's answers stream, as those of uvicorn do")
    web_adapter: str | None = Field(
        default=None,
        pattern=WEB_ADAPTER,
        description="ARN of a layer with the Lambda Web Adapter, in place of AWS's, or an image with it",
    )
    cors_origins: list[Origin] = Field(default_factory=list, description="origins whose pages may call the API")
    authorizer: bool = Field(default=False, description="whether a function in front of the API checks bearer tokens")
    service_proxy: list[str] = Field(
        default_factory=list, description="job types whose jobs API Gateway makes by itself, without a function"
    )
    iam: Literal["none", "submit", "all"] = Field(
        default="none", description="the methods that take AWS signatures in place of bearer tokens"
    )

    @property
    def adapter_image(self) -> str | None:
        """The image of the Lambda Web Adapter, if the API's function is an image; None if it comes from a zip."""
        given = self.web_adapter
        return None if given is None or re.match(LAYER, given) else given


class DeployConfig(TomlTable):
    """Where and how the project is deployed."""

    stack: str | None = Field(
        default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$", description="name of the CloudFormation stack"
    )
    region: str | None = Field(default=None, min_length=1, description="AWS region")
    parameters: dict[str, str | int] = Field(
        default_factory=dict, description="parameters of the template, as in docs/deploy.md"
    )


class ContainersConfig(TomlTable):
    """The container images of the project, and what runs in containers on AWS."""

    base: str | None = Field(
        default=None, pattern=BASE_IMAGE, description="the image that they are made on, with its digest"
    )
    architecture: Literal["arm64", "x86_64"] = Field(default="arm64", description="the machine that they run on")
    services: list[Literal["api", "deliverer", "sweeper"]] = Field(
        default_factory=list, description="what runs in containers in place of a function, besides lanes"
    )
    vpc: str | None = Field(
        default=None, pattern=r"^vpc-[0-9a-f]+$", description="id of the VPC of the API's containers"
    )
    subnets: list[str] = Field(default_factory=list, description="ids of the containers' subnets")
    security_groups: list[str] = Field(
        default_factory=list, max_length=5, description="ids of the containers' security groups"
    )
    public_ip: bool = Field(default=False, description="whether containers get a public address")


class TracesConfig(TomlTable):
    """How the functions make spans."""

    layer: LayerArn | None = Field(default=None, description="ARN of a layer with OpenTelemetry for Python")
    packages: bool = Field(default=False, description="whether the project brings the packages of OpenTelemetry")
    environment: dict[VariableName, str] = Field(default_factory=dict, description="variables of OpenTelemetry")
    x_ray: bool = Field(default=False, description="whether the functions may send to X-Ray, and take part in it")


class LocalConfig(TomlTable):
    """What `coatcheck up` does besides."""

    jobs: list[ModuleName] = Field(default_factory=list, description="modules that are served and never deployed")
    tenants: list[Tenant] = Field(default_factory=list, description="more tenants, each with a key of its own")


class ProjectConfig(TomlTable):
    """`[tool.coatcheck]`."""

    jobs: list[ModuleName] = Field(min_length=1, description="the modules with job types")
    python: PythonVersion = Field(
        default=DEFAULT_PYTHON, description="the version of Python that functions and images have"
    )
    lanes: dict[LaneName, Lane] = Field(
        default_factory=lambda: {DEFAULT_LANE: Lane()},
        description="the lanes and their sizes; `default` always exists",
    )
    failure_alarms: list[str] = Field(
        default_factory=list, max_length=50, description="job types with an alarm of their own on failures"
    )
    handlers: HandlersConfig = Field(default_factory=HandlersConfig, description="what handlers get on AWS")
    api: ApiConfig = Field(default_factory=ApiConfig, description="what clients reach the API by")
    deploy: DeployConfig = Field(default_factory=DeployConfig, description="where the project is deployed")
    containers: ContainersConfig = Field(
        default_factory=ContainersConfig, description="the container images, for what does not run in Lambda"
    )
    traces: TracesConfig = Field(default_factory=TracesConfig, description="spans of the functions")
    local: LocalConfig = Field(default_factory=LocalConfig, description="what `coatcheck up` does besides")

    @field_validator("lanes", mode="after")
    @classmethod
    def _has_the_default_lane(cls, lanes: dict[str, Lane]) -> dict[str, Lane]:
        if "webhooks" in lanes:
            raise ValueError("the lane webhooks is reserved for webhooks")
        return {DEFAULT_LANE: Lane()} | lanes


@dataclass(frozen=True, slots=True)
class Project:
    """An owner's project.

    `root` is the folder of its pyproject.toml: the working directory, and on the import path, of all that runs its
    code. `home` is where `coatcheck up` keeps what it needs, beside the pyproject.toml that was found first.
    `pyproject` is the whole file.
    """

    root: Path
    home: Path
    config: ProjectConfig
    pyproject: Mapping[str, Any]


def find_project(start: Path) -> Project:
    """Find the project of the folder `start`: the nearest pyproject.toml with `[tool.coatcheck]`, upwards.

    `[tool.coatcheck] project = "folder"` says that the project is in another folder. Raises ProjectError.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / PYPROJECT
        table = _read(path).get("tool", {}).get("coatcheck") if path.is_file() else None
        if table is not None:
            return _load(folder, folder / ".coatcheck", table)
    raise ProjectError(
        f"no project here: neither {start.resolve()} nor a folder above it has a {PYPROJECT} with [tool.coatcheck]. "
        "Make a project with: coatcheck init NAME"
    )


def _load(folder: Path, home: Path, table: Any) -> Project:
    if isinstance(table, dict) and set(table) == {"project"}:
        root = folder / str(table["project"])
        if not (root / PYPROJECT).is_file():
            raise ProjectError(f"{folder / PYPROJECT}: tool.coatcheck.project: there is no {root / PYPROJECT}")
        elsewhere = _read(root / PYPROJECT).get("tool", {}).get("coatcheck")
        if not isinstance(elsewhere, dict) or "project" in elsewhere:
            raise ProjectError(f"{root / PYPROJECT}: needs [tool.coatcheck] with jobs = [...]")
        folder, table = root, elsewhere
    try:
        config = ProjectConfig.model_validate(table)
    except ValidationError as error:
        wrong = "; ".join(_described(one) for one in error.errors())
        raise ProjectError(f"{folder / PYPROJECT}: {wrong}") from error
    return Project(folder, home, config, MappingProxyType(_read(folder / PYPROJECT)))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path}: {error}") from error


def _described(error: ErrorDetails) -> str:
    path = ["tool", "coatcheck", *(str(key) for key in error["loc"])]
    if error["type"] == "extra_forbidden":
        keys = _keys(error["loc"][:-1])
        hint = f"the keys are {', '.join(keys)}"
        return f"{'.'.join(path[:-1])}: {unknown('key', path[-1], keys, see=hint)}"
    pattern = error.get("ctx", {}).get("pattern")
    if pattern in FORMS:
        return f"{'.'.join(path).removesuffix('.[key]')}: must be {FORMS[pattern]}"
    return f"{'.'.join(path)}: {error['msg'].removeprefix('Value error, ')}"


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table at `place`."""
    model: Any = ProjectConfig
    for key in place:
        field = next((one for one in model.model_fields.values() if one.alias == key), None)
        annotation = field.annotation if field else Lane
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), Lane)
    return [field.alias or name for name, field in model.model_fields.items()]
