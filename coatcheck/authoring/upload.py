"""An uploaded file as it stands in a job's input."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.ids import id_pattern


class Upload(BaseModel):
    """A file that was uploaded before the job was submitted, as it stands in an input: `{"$upload": "upl_…"}`.

    The service refuses a job whose upload is not there; read it with `Context.open_input` or `Context.input_path`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: str = Field(alias="$upload", pattern=id_pattern("upl"), description="the id that POST /v1/uploads answered")
