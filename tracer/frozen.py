"""`@frozen`: dataclasses that mypy keeps from being changed, and that are cheap to make.

Python's own frozen ones set each field by way of object.__setattr__(), which takes four times as
long. A recording of a million events has three million such objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> object:
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A dataclass with slots, compared and hashed by its fields, which nobody may assign to."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
