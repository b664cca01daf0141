"""What ends `coatcheck up` with one line."""

from __future__ import annotations


class UpError(Exception):
    """`up` cannot start or go on. The message is the one line that the user reads."""


def user_message(error: BaseException) -> str:
    """`error` as the user reads it; of one of the system, the file, where there is one, and what is wrong."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
