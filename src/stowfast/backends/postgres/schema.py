"""The tables in PostgreSQL, and the statements that make them. `{schema}` stands for the quoted name of the schema."""

from __future__ import annotations

from typing import Final

__all__ = ["GRANTS", "MIGRATIONS", "TABLES", "VERSION_TABLE"]

VERSION_TABLE: Final = "stowfast"
TABLES: Final = ("streams", "entries", "operations", "labels", "blobs", "chunks", "links")

MIGRATIONS: Final = (
    """
    CREATE TABLE {schema}.streams (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        incarnation text COLLATE "C", -- NULL: deleted, the row is a tombstone
        first bigint NOT NULL,
        next bigint NOT NULL,
        length bigint NOT NULL,
        base bigint NOT NULL,
        revision bigint NOT NULL,
        created_at bigint NOT NULL, -- times are microseconds since 1970, UTC
        updated_at bigint NOT NULL,
        recent bigint NOT NULL, -- updated_at in units of 2^26 microseconds: an append seldom changes an index
        expires_at bigint,
        labels bytea NOT NULL, -- a JSON object, and as hashes in the table labels, to be found by
        note bytea NOT NULL,
        checksum bigint NOT NULL -- of the columns above but id and recent, see checksums.py
    ) WITH (fillfactor = 70);
    CREATE INDEX streams_expiring ON {schema}.streams (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX streams_recent ON {schema}.streams (pg_catalog.split_part(name, '/', 1), recent DESC)
        WHERE incarnation IS NOT NULL;
    CREATE TABLE {schema}.entries (
        stream bigint NOT NULL,
        position bigint NOT NULL,
        created_at bigint NOT NULL,
        checksum bigint NOT NULL, -- of the name of the stream, and of the other columns but stream
        op_id text COLLATE "C",
        data bytea NOT NULL,
        PRIMARY KEY (stream, position)
    );
    CREATE TABLE {schema}.operations (
        stream bigint NOT NULL,
        op_id text COLLATE "C" NOT NULL,
        incarnation text COLLATE "C" NOT NULL,
        first bigint NOT NULL,
        next bigint NOT NULL,
        committed_at bigint NOT NULL,
        PRIMARY KEY (stream, op_id)
    );
    CREATE TABLE {schema}.labels (
        pair bytea NOT NULL, -- 16 bytes of a hash: it narrows a search, the JSON in streams decides
        stream bigint NOT NULL,
        PRIMARY KEY (pair, stream)
    );
    CREATE INDEX labels_by_stream ON {schema}.labels (stream);
    CREATE TABLE {schema}.blobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream bigint NOT NULL,
        name text COLLATE "C" NOT NULL UNIQUE,
        size bigint NOT NULL,
        written_at bigint NOT NULL, -- 0 once an entry refers to it
        whole smallint NOT NULL -- 0 while it is written, 1 once it can be linked, -1 from when on it never can
    );
    CREATE INDEX blobs_by_stream ON {schema}.blobs (stream);
    CREATE INDEX blobs_unlinked ON {schema}.blobs (written_at) WHERE written_at > 0;
    CREATE TABLE {schema}.chunks (
        blob bigint NOT NULL,
        start bigint NOT NULL, -- the offset of its first byte
        data bytea NOT NULL,
        PRIMARY KEY (blob, start)
    );
    ALTER TABLE {schema}.chunks ALTER COLUMN data SET STORAGE EXTERNAL;
    CREATE TABLE {schema}.links (
        stream bigint NOT NULL,
        position bigint NOT NULL,
        blob bigint NOT NULL,
        PRIMARY KEY (stream, position, blob)
    );
    CREATE INDEX links_by_blob ON {schema}.links (blob);
    CREATE VIEW {schema}.history WITH (security_invoker = true) AS
        SELECT streams.name AS stream, position, to_timestamp(entries.created_at / 1000000.0) AS created, op_id,
            encode(data, 'escape') AS data
        FROM {schema}.entries JOIN {schema}.streams ON streams.id = entries.stream;
    """,
)
"""Step n brings a schema from version n to n + 1, each statement ending with a semicolon at the end of its line."""

GRANTS: Final = (
    "GRANT USAGE ON SCHEMA {schema} TO {user};",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};",
    "GRANT INSERT, UPDATE, DELETE ON " + ", ".join(f"{{schema}}.{table}" for table in TABLES) + " TO {user};",
)
"""The rights of a role that only uses the tables: it may not write the version, which is of all roles."""
