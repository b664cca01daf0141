from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck import Outcome, Reject

Query = Callable[..., Outcome]

READS = """
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv(['/etc/passwd'], header = false)
SELECT * FROM '/etc/passwd.csv'
SELECT * FROM '{folder}/secret.csv'
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_text('/proc/self/environ')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_json('/etc/passwd')
SELECT * FROM read_parquet('/etc/passwd')
SELECT * FROM parquet_metadata('/etc/passwd')
SELECT * FROM read_duckdb('/etc/passwd')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM glob('/etc/*')
SELECT * FROM query_table('/etc/passwd.csv')
SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))
WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x
SELECT (SELECT content FROM read_text('/etc/passwd'))
SELECT getenv('HOME')
SELECT error(current_setting('temp_directory'))
SELECT error(current_query())
SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')
SELECT * FROM 'https://127.0.0.1:1/x.parquet'
SELECT * FROM duckdb_extensions()
SELECT * FROM pandas_scan(1)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM folder
""".strip().splitlines()

WRITES = """
COPY t TO '{folder}/x.csv'
COPY (SELECT 1) TO '{folder}/x.csv'
WITH x AS (COPY (SELECT 1) TO '{folder}/x.csv') SELECT 1
WITH x AS (COPY (SELECT 1) TO 'result') SELECT 1
WITH x AS (INSERT INTO t SELECT * FROM t RETURNING a) SELECT * FROM x
WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x
WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM x
SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/x.csv''')
SELECT 1; COPY (SELECT 1) TO '{folder}/x.csv'
SELECT 1); COPY (SELECT 1) TO '{folder}/x.csv'; --
SELECT 1) TO '{folder}/x.csv' (FORMAT csv); --
SELECT 1 /*
ATTACH '{folder}/x.duckdb' AS x
EXPORT DATABASE '{folder}'
INSTALL httpfs
LOAD '{folder}/x.duckdb_extension'
SET enable_external_access = true
SET lock_configuration = false
PRAGMA threads = 64
SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}})
SELECT * FROM enable_profiling(save_location = '{folder}/x.json')
CALL pragma_version()
CREATE SECRET x (TYPE s3)
CREATE TABLE x AS SELECT 1
INSERT INTO t VALUES (1)
DROP TABLE t
EXPLAIN ANALYZE SELECT 1
CHECKPOINT
""".strip().splitlines()


@pytest.mark.parametrize("sql", READS + WRITES)
def test_sql_has_no_way_out(query: Query, tmp_path: Path, sql: str) -> None:
    (tmp_path / "secret.csv").write_text("secret\nhush\n")
    with pytest.raises(Reject) as rejected:
        query(sql.format(folder=tmp_path), {"t": b"a\n1\n"})
    assert "coatcheck-test-" not in rejected.value.reason
    assert "hush" not in rejected.value.reason
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_the_query_knows_no_secrets(query: Query) -> None:
    assert query("SELECT count(*) AS n FROM duckdb_secrets()").body == b"n\n0\n"


def test_the_walls_stand_while_the_query_runs(query: Query) -> None:
    sql = """SELECT name, value FROM duckdb_settings() WHERE name IN ('enable_external_access', 'lock_configuration',
             'autoinstall_known_extensions', 'autoload_known_extensions', 'python_enable_replacements',
             'allow_community_extensions', 'allow_unsigned_extensions', 'access_mode') ORDER BY name"""
    assert query(sql).body.decode().splitlines()[1:] == [
        "access_mode,read_only",
        "allow_community_extensions,false",
        "allow_unsigned_extensions,false",
        "autoinstall_known_extensions,false",
        "autoload_known_extensions,false",
        "enable_external_access,false",
        "lock_configuration,true",
        "python_enable_replacements,false",
    ]
