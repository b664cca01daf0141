"""What DuckDB says, as a client may read it: without paths of this machine; and whose fault it is."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

# not the fault of the SQL or the tables: the attempt fails, and may be tried again
INTERNAL_ERRORS = (duckdb.ConnectionException,)
# what its Python side raises of a statement, a type or a value that it does not know
PYTHON_ERRORS = (ValueError, TypeError, LookupError, RuntimeError, ArithmeticError)
# what the system says of a file or disk in trouble
OS_ERROR_MESSAGES = frozenset(os.strerror(code) for code in errno.errorcode)
FILE_READ_ERRORS = ("Could not read enough bytes", "Failed to read")
MAX_MESSAGE_LENGTH = 1500
# two parts at least, since `a/b` is a division
PATH = re.compile(r"(?<![\w.~/])(?:file:/*)?(?:/[^\s/'\"`:;,()<>\[\]{}|*?]+){2,}/?")
# DuckDB shows the SQL from here on, with a mark beneath
EXCERPT = re.compile(r"\n+LINE \d+: .*", re.DOTALL)
STACK_TRACE = re.compile(r"\n+(Stack Trace|This error signals).*", re.DOTALL)


class QueryError(Exception):
    """The SQL or a table is at fault."""


@contextmanager
def translate_errors(where: str, sql: str | None = None) -> Iterator[None]:
    """Turn DuckDB's complaints about a client's SQL and data into QueryError; let its own troubles pass.

    `where` comes before what it says. Without `sql`, which is the client's, the statement is ours and not shown.
    """
    try:
        yield
    except QueryError as error:
        raise QueryError(f"{where}{error}") from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise QueryError(f"{where}more memory was needed than a query may have") from error
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise QueryError(f"{where}more disk was needed than a query may have") from error
    except (duckdb.InternalException, duckdb.FatalException) as error:
        raise _classify_engine_failure(error, where, sql) from error
    except duckdb.IOException as error:
        raise _classify_io_error(error, where, sql) from error
    except INTERNAL_ERRORS:
        raise
    except duckdb.Error as error:
        raise QueryError(where + sanitize_message(str(error), sql)) from error
    except PYTHON_ERRORS as error:
        raise QueryError(f"{where}the database engine failed on it: {sanitize_message(str(error), sql)}") from error


def _classify_engine_failure(error: duckdb.Error, where: str, sql: str | None) -> Exception:
    """The error itself if it names what this machine lacks: nothing else than SQL and data breaks a new database."""
    message = STACK_TRACE.sub("", str(error)).removeprefix("INTERNAL Error: ")
    if any(what in message for what in OS_ERROR_MESSAGES):
        return error
    return QueryError(f"{where}the database engine failed on it: {sanitize_message(message, sql)}")


def _classify_io_error(error: duckdb.IOException, where: str, sql: str | None) -> Exception:
    """The error itself if it comes of this machine: DuckDB says IO Error of values, too, that a format cannot hold."""
    message = EXCERPT.sub("", str(error))
    if "File too large" in message:
        return QueryError(f"{where}more disk was needed than a query may have")
    is_read_error = any(what in message for what in FILE_READ_ERRORS)
    if any(what in message for what in OS_ERROR_MESSAGES) or (PATH.search(message) and not is_read_error):
        return error
    return QueryError(where + sanitize_message(str(error), sql))


def sanitize_message(message: str, sql: str | None = None) -> str:
    """What DuckDB said, without paths but those that stand in the client's `sql`, and not too long."""
    text = message if sql is not None else EXCERPT.sub("", message)
    known = sql or ""
    return PATH.sub(lambda path: path[0] if path[0] in known else "a file", text)[:MAX_MESSAGE_LENGTH].rstrip()
