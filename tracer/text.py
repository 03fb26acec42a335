"""Names from the system as text that can be kept and printed anywhere."""

from __future__ import annotations


def clean(name: str) -> str:
    r"""A name as the system gave it, where a byte that is no UTF-8 becomes ``\xNN``.

    Python stands in a lone surrogate for such a byte, which is no text that JSON can carry.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
