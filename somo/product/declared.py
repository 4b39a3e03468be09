"""The base of every table of a declaration."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """A frozen table of the declaration that refuses unknown keys, in copies too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values replaced, checked as the first one was.

        Raises
        ------
        ValidationError
            if the values contradict each other or are unknown
        """
        # pydantic's own copy takes over whatever it is given. Values that are not replaced have been checked before.
        return super().model_copy(deep=deep) if not update else type(self).model_validate({**dict(self), **update})
