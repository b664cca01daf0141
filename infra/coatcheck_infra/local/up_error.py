"""The error that ends `coatcheck up` with one line."""

from __future__ import annotations


class UpError(Exception):
    """`up` cannot start or continue. The message is the one line that the user reads."""


def user_message(error: BaseException) -> str:
    """Return the text of `error` for the user. For an OSError: the reason, after the file name if there is one."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
