"""The base of Coatcheck's models: what validates one is built when it is first needed, not as its module is loaded."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

_building = threading.RLock()
"""One for all models: to build one may build those within it."""


class DeferredModel(BaseModel):
    """A model that costs a start nothing until it is used, which may be by several threads at once.

    pydantic's own `defer_build` is not safe there: https://github.com/pydantic/pydantic/pull/13438.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    @classmethod
    def model_rebuild(cls, *, _parent_namespace_depth: int = 2, **options: Any) -> bool | None:
        """Build the model unless it is built, one thread at a time."""
        with _building:
            # this is one more frame above where the model is used
            return super().model_rebuild(_parent_namespace_depth=_parent_namespace_depth + 1, **options)
