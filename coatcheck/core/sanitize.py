"""Make what a handler returns safe to repeat: in a header, as a file name, and as text for people."""

from __future__ import annotations

import re
import unicodedata

ANY_BYTES = "application/octet-stream"

MAX_MEDIA_TYPE_LENGTH = 255
MAX_FILENAME_BYTES = 255
"""Bytes of UTF-8: what file systems allow, and few enough for a header that has each byte as `%xx`."""

MAX_EXTENSION_LENGTH = 16
"""Characters, with the dot: what is longer says nothing of the type, and is cut off like the rest of a long name."""

MAX_QUOTED_CHARACTERS = 64
"""Characters of what somebody sent that a message repeats: an id or the name of a job type fits."""

# RFC 9110, 5.6 and 8.3.1
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t !-~])*"'
_PARAMETER = rf"[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|{_QUOTED})"
_MEDIA_TYPE = re.compile(rf"(?!\*){_WORD}/(?!\*){_WORD}(?:{_PARAMETER})*")
# ";" may stand without a parameter (5.6.6)
_ONE_PARAMETER = re.compile(rf"[ \t]*;[ \t]*(?:({_WORD})=(?:({_WORD})|({_QUOTED})))?[ \t]*")

_SEPARATORS = {"/", "\\"}
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def media_type(given: str) -> str:
    """`given` unchanged if it is a media type of at most 255 characters; else the media type of arbitrary bytes."""
    return given if len(given) <= MAX_MEDIA_TYPE_LENGTH and _MEDIA_TYPE.fullmatch(given) else ANY_BYTES


def parameters(given: str) -> list[tuple[str, str]] | None:
    """Names, in lower case, and values of the parameters of a media type; None where they cannot be read."""
    found, at = [], len(given.partition(";")[0])
    while at < len(given):
        one = _ONE_PARAMETER.match(given, at)
        if one is None:
            return None
        name, word, quoted = one.groups()
        if name is not None:
            found.append((name.lower(), word if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1:-1])))
        at = one.end()
    return found


def filename(given: str) -> str:
    """`given` as a name that is safe for a file: at most 255 bytes, and empty if nothing is left of it.

    It leads to no other folder, hides no file, and has no characters that turn others around (`exe.fdp` would show
    as `pdf.exe`).
    """
    name = "".join("_" if _is_unsafe(character) else character for character in given).lstrip(". ")
    dot = name.rfind(".")
    extension = name[dot:] if dot > 0 and len(name) - dot <= MAX_EXTENSION_LENGTH else ""
    available = MAX_FILENAME_BYTES - len(extension.encode())
    return name.removesuffix(extension).encode()[:available].decode(errors="ignore") + extension


def plain_text(given: object, *, longest: int) -> str:
    """The first `longest` characters of `given` as text that every row, JSON document and log accepts.

    Lone surrogates, which UTF-8 does not have, and controls other than tabs and line ends become U+FFFD.
    """
    text = str(given)[:longest]
    return text if text.isprintable() else "".join(_shown(character) for character in text)


def quoted(given: object) -> str:
    """`given` between backticks, as a message repeats it: one line, cut after 64 characters."""
    text = str(given)
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text[:MAX_QUOTED_CHARACTERS])
    return f"`{shown}{'…' if len(text) > MAX_QUOTED_CHARACTERS else ''}`"


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\t\n"
    return "\ufffd" if hidden else character


def _is_unsafe(character: str) -> bool:
    return (
        character in _SEPARATORS
        or unicodedata.category(character) in _CONTROLS
        or unicodedata.bidirectional(character) in _REORDERING
    )
