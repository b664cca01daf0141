"""What all tables of `[tool.coatcheck]` have in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class TomlTable(BaseModel):
    """A table of the file, with keys in kebab-case."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"), validate_by_name=False
    )
