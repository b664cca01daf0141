"""Reads a Dockerfile: the instructions that `coatcheck build --image` writes, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Template


class UnknownInstruction(Exception):
    """The Dockerfile has an instruction that this reader does not carry out: it proves nothing then."""


@dataclass(frozen=True)
class ImageConfig:
    """What an image is made of, and how it is run.

    `copies` are sources in the context with their targets in the image, `copies_of_images` those in another image, with
    its name. `healthcheck` is the command alone.
    """

    base: str = ""
    copies_of_images: Sequence[tuple[str, str, str]] = ()
    copies: Sequence[tuple[str, str]] = ()
    workdir: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    user: str = "0:0"
    ports: Sequence[int] = ()
    stop_signal: str = "SIGTERM"
    healthcheck: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)


def read_dockerfile(text: str, build_arguments: Mapping[str, str] | None = None) -> ImageConfig:
    """Return what the Dockerfile says, with these build arguments. Raises UnknownInstruction."""
    config = ImageConfig()
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name not in INSTRUCTIONS:
            raise UnknownInstruction(line)
        config = INSTRUCTIONS[name](config, Template(rest).substitute({**config.arguments, **(build_arguments or {})}))
    return config


def _argument(config: ImageConfig, rest: str) -> ImageConfig:
    name, _, default = rest.partition("=")
    return replace(config, arguments={**config.arguments, name: default})


def _copy(config: ImageConfig, rest: str) -> ImageConfig:
    *options, source, target = rest.split()
    if options:
        other = options[0].removeprefix("--from=")
        return replace(config, copies_of_images=[*config.copies_of_images, (other, source, target)])
    return replace(config, copies=[*config.copies, (source, target)])


def _environment(config: ImageConfig, rest: str) -> ImageConfig:
    pairs = dict(word.split("=", 1) for word in rest.split())
    return replace(config, environment={**config.environment, **pairs})


def _healthcheck(config: ImageConfig, rest: str) -> ImageConfig:
    found = re.fullmatch(r"(--\w[\w-]*=\S+ )*CMD (?P<words>\[.*\])", rest)
    if found is None:
        raise UnknownInstruction(f"HEALTHCHECK {rest}")
    return replace(config, healthcheck=json.loads(found["words"]))


INSTRUCTIONS: Mapping[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "ARG": _argument,
    "FROM": lambda config, rest: replace(config, base=rest),
    "COPY": _copy,
    "WORKDIR": lambda config, rest: replace(config, workdir=rest),
    "ENV": _environment,
    "VOLUME": lambda config, rest: replace(config, volumes=[*config.volumes, rest]),
    "USER": lambda config, rest: replace(config, user=rest),
    "EXPOSE": lambda config, rest: replace(config, ports=[*config.ports, int(rest)]),
    "STOPSIGNAL": lambda config, rest: replace(config, stop_signal=rest),
    "HEALTHCHECK": _healthcheck,
    "ENTRYPOINT": lambda config, rest: replace(config, entrypoint=json.loads(rest)),
    "CMD": lambda config, rest: replace(config, command=json.loads(rest)),
}
"""What each instruction does: https://docs.docker.com/reference/dockerfile/"""
