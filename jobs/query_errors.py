"""What DuckDB says, as a client may read it: without paths of this machine; and whose fault it is."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

# not the fault of the SQL or the tables: the attempt fails, and may be tried again
OURS = (duckdb.FatalException, duckdb.ConnectionException)
# what the system says of a file or disk in trouble
SYSTEM = frozenset(os.strerror(code) for code in errno.errorcode)
OF_THE_FILE = ("Could not read enough bytes", "Failed to read")
LONGEST = 1500
# two parts at least, since `a/b` is a division
PATH = re.compile(r"(?<![\w.~/])(?:file:/*)?(?:/[^\s/'\"`:;,()<>\[\]{}|*?]+){2,}/?")
# DuckDB shows the SQL from here on, with a mark beneath
EXCERPT = re.compile(r"\n+LINE \d+: .*", re.DOTALL)
STACK = re.compile(r"\n+(Stack Trace|This error signals).*", re.DOTALL)


class Rejected(Exception):
    """The SQL or a table is at fault."""


@contextmanager
def blaming(where: str, sql: str | None = None) -> Iterator[None]:
    """Turn DuckDB's complaints about a client's SQL and data into Rejected; let its own troubles pass.

    `where` comes before what it says. Without `sql`, which is the client's, the statement is ours and not shown.
    """
    try:
        yield
    except Rejected as error:
        raise Rejected(f"{where}{error}") from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise Rejected(f"{where}more memory was needed than a query may have") from error
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise Rejected(f"{where}more disk was needed than a query may have") from error
    except duckdb.InternalException as error:
        said = STACK.sub("", str(error)).removeprefix("INTERNAL Error: ")
        raise Rejected(f"{where}the database engine failed on it: {presentable(said, sql)}") from error
    except duckdb.IOException as error:
        raise _trouble_with_a_file(error, where, sql) from error
    except OURS:
        raise
    except duckdb.Error as error:
        raise Rejected(where + presentable(str(error), sql)) from error


def _trouble_with_a_file(error: duckdb.IOException, where: str, sql: str | None) -> Exception:
    """The error itself if it comes of this machine: DuckDB says IO Error of values, too, that a format cannot hold."""
    said = EXCERPT.sub("", str(error))
    if "File too large" in said:
        return Rejected(f"{where}more disk was needed than a query may have")
    of_the_file = any(what in said for what in OF_THE_FILE)
    if any(what in said for what in SYSTEM) or (PATH.search(said) and not of_the_file):
        return error
    return Rejected(where + presentable(str(error), sql))


def presentable(said: str, sql: str | None = None) -> str:
    """What DuckDB said, without paths but those that stand in the client's `sql`, and not too long."""
    shown = said if sql is not None else EXCERPT.sub("", said)
    known = sql or ""
    return PATH.sub(lambda path: path[0] if path[0] in known else "a file", shown)[:LONGEST].rstrip()
