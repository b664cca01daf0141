"""JSON has no NaN and no infinity; DuckDB writes them as if it had. As SQL, each becomes null."""

from __future__ import annotations

import duckdb
from duckdb.sqltypes import DuckDBPyType


def finite_rows(rows: duckdb.DuckDBPyRelation, source: str) -> str:
    """`source`, the SQL of `rows`, with null for what is no finite number, in lists, structs and maps as well."""
    replaced = []
    for column, kind in zip(rows.columns, rows.types, strict=True):
        plain = quoted_name(column)
        finite = _finite(plain, kind, 0)
        if finite != plain:
            replaced.append(f"{finite} AS {plain}")
    if not replaced:
        return source
    return f"SELECT * REPLACE ({', '.join(replaced)}) FROM ({source}\n)"  # noqa: S608 - the client's SQL, walled in


def quoted_name(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _finite(value: str, kind: DuckDBPyType, depth: int) -> str:
    """SQL for `value` with its numbers made finite; `value` itself where it can hold none that are not."""
    item = f"x{depth}"
    if kind.id in {"float", "double"}:
        return f"if(isfinite({value}), {value}, NULL)"
    if kind.id in {"list", "array"}:
        inner = _finite(item, _parts(kind)["child"], depth + 1)
        return value if inner == item else f"list_transform({value}, lambda {item}: {inner})"
    if kind.id == "map":
        inner = _finite(f"{item}.value", _parts(kind)["value"], depth + 1)
        entry = f"{{'key': {item}.key, 'value': {inner}}}"
        changed = f"map_from_entries(list_transform(map_entries({value}), lambda {item}: {entry}))"
        return value if inner == f"{item}.value" else changed
    if kind.id == "struct":
        return _finite_struct(value, kind, depth)
    return value


def _finite_struct(value: str, kind: DuckDBPyType, depth: int) -> str:
    before = {quoted_name(name): f"({value}).{quoted_name(name)}" for name in _parts(kind)}
    after = [_finite(old, part, depth + 1) for old, part in zip(before.values(), _parts(kind).values(), strict=True)]
    if after == list(before.values()):
        return value
    packed = ", ".join(f"{name} := {new}" for name, new in zip(before, after, strict=True))
    return f"if({value} IS NULL, NULL, struct_pack({packed}))"


def _parts(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    return {name: part for name, part in kind.children if isinstance(part, DuckDBPyType)}
