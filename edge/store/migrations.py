"""The schema, as numbered steps that are only ever appended to.

Times are ISO 8601 text in UTC. Patient names and identifiers live in ``studies`` and
nowhere else: neither in file names nor in the log.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("chest_edge")


@MIGRATIONS(name="0001_studies")
def _studies(database: Database) -> None:
    database.execute("""
        CREATE TABLE studies (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_key TEXT NOT NULL UNIQUE,
            study_instance_uid TEXT UNIQUE,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            decision TEXT,
            reasons TEXT NOT NULL DEFAULT '[]',
            version INTEGER NOT NULL DEFAULT 0,
            has_preview INTEGER NOT NULL DEFAULT 0,
            patient_name TEXT NOT NULL DEFAULT '',
            patient_id TEXT NOT NULL DEFAULT '',
            birth_date TEXT,
            sex TEXT NOT NULL DEFAULT '',
            accession_number TEXT NOT NULL DEFAULT '',
            modality TEXT,
            received_at TEXT NOT NULL,
            completed_at TEXT
        )""")
    database.execute("CREATE INDEX studies_by_state ON studies (state)")


@MIGRATIONS(name="0002_instances")
def _instances(database: Database) -> None:
    database.execute("""
        CREATE TABLE instances (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_id INTEGER NOT NULL REFERENCES studies (id),
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            reason TEXT,
            path TEXT NOT NULL UNIQUE,
            sha256 TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            sop_class_uid TEXT NOT NULL,
            sop_instance_uid TEXT NOT NULL,
            series_instance_uid TEXT NOT NULL,
            study_instance_uid TEXT NOT NULL,
            transfer_syntax_uid TEXT NOT NULL,
            calling_ae_title TEXT NOT NULL,
            received_at TEXT NOT NULL,
            clock_trusted INTEGER NOT NULL,
            UNIQUE (sop_instance_uid, sha256)
        )""")
    database.execute("CREATE INDEX instances_by_state ON instances (state)")
    database.execute("CREATE INDEX instances_by_study ON instances (study_id)")


@MIGRATIONS(name="0003_results")
def _results(database: Database) -> None:
    database.execute("""
        CREATE TABLE results (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_id INTEGER NOT NULL REFERENCES studies (id),
            version INTEGER NOT NULL,
            state TEXT NOT NULL,
            has_preview INTEGER NOT NULL,
            result TEXT NOT NULL,
            completed_at TEXT NOT NULL,
            UNIQUE (study_id, version)
        )""")


@MIGRATIONS(name="0004_stated_age")
def _stated_age(database: Database) -> None:
    database.execute("ALTER TABLE studies ADD COLUMN stated_age_years INTEGER")


@MIGRATIONS(name="0005_studies_by_patient")
def _studies_by_patient(database: Database) -> None:
    database.execute("CREATE INDEX studies_by_patient ON studies (patient_id)")


@MIGRATIONS(name="0006_journal")
def _journal(database: Database) -> None:
    database.execute("""
        CREATE TABLE journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            happened_at TEXT NOT NULL,
            clock_trusted INTEGER NOT NULL,
            action TEXT NOT NULL,
            fields TEXT NOT NULL,
            open_key TEXT UNIQUE
        )""")
    # The one row tells how far the audit files go: what is missing from their end is seen by it.
    database.execute("""
        CREATE TABLE audit_anchor (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            sequence INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            file TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            sent_sequence INTEGER NOT NULL
        )""")
    database.execute("ALTER TABLE results ADD COLUMN clock_trusted INTEGER NOT NULL DEFAULT 1")


@MIGRATIONS(name="0007_completeness")
def _completeness(database: Database) -> None:
    database.execute("""
        CREATE TABLE associations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            owner TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'open',
            calling_ae_title TEXT NOT NULL,
            ended INTEGER
        )""")
    database.execute("CREATE INDEX associations_by_state ON associations (state)")
    database.execute("ALTER TABLE instances ADD COLUMN association_id INTEGER REFERENCES associations (id)")
    database.execute("ALTER TABLE instances ADD COLUMN run_id TEXT NOT NULL DEFAULT ''")
    database.execute("ALTER TABLE instances ADD COLUMN outages INTEGER NOT NULL DEFAULT 0")
    database.execute("CREATE INDEX instances_by_association ON instances (association_id, study_id)")
    for column in (
        "is_final INTEGER NOT NULL DEFAULT 0",
        "unread INTEGER NOT NULL DEFAULT 0",
        "quiet_s INTEGER NOT NULL DEFAULT 0",
        "touched_s REAL NOT NULL DEFAULT 0",  # monotonic, of the boot beside it
        "boot_id TEXT NOT NULL DEFAULT ''",
        "newest_instance_id INTEGER NOT NULL DEFAULT 0",
        "run_id TEXT NOT NULL DEFAULT ''",
        "outages INTEGER NOT NULL DEFAULT 0",
    ):
        database.execute(f"ALTER TABLE studies ADD COLUMN {column}")
    database.execute("""
        UPDATE studies SET is_final = 1,
            newest_instance_id = coalesce((SELECT max(id) FROM instances WHERE study_id = studies.id), 0)""")
    database.execute("CREATE INDEX studies_not_final ON studies (id) WHERE NOT is_final OR unread")
    database.execute("CREATE INDEX studies_by_arrival ON studies (newest_instance_id)")
    database.execute("ALTER TABLE results ADD COLUMN set_sha256 TEXT NOT NULL DEFAULT ''")


@MIGRATIONS(name="0008_housekeeping")
def _housekeeping(database: Database) -> None:
    database.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    # viewed_as: state and version that somebody saw; a newer result has not been seen.
    database.execute("ALTER TABLE studies ADD COLUMN viewed_as TEXT")
    database.execute("ALTER TABLE studies ADD COLUMN viewed_running_s REAL")
    database.execute("ALTER TABLE studies ADD COLUMN delivered_at TEXT")
    database.execute("""
        CREATE TABLE deletions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_key TEXT NOT NULL,
            received_at TEXT NOT NULL,
            deleted_at TEXT NOT NULL,
            reason TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            instance_count INTEGER NOT NULL
        )""")
    # Files that no row names any more and that are still to be removed, below the data folder.
    database.execute("CREATE TABLE doomed (path TEXT PRIMARY KEY)")


@MIGRATIONS(name="0009_pulls")
def _pulls(database: Database) -> None:
    # What the box asks a PACS or a worklist for. When to try again is no column: the wall clock may jump.
    database.execute("""
        CREATE TABLE pulls (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_id INTEGER NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'queued',
            code TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            study_instance_uid TEXT NOT NULL DEFAULT '',
            series_instance_uids TEXT NOT NULL DEFAULT '[]',
            newest_instance INTEGER,
            UNIQUE (study_id, kind, study_instance_uid)
        )""")
    database.execute("CREATE INDEX pulls_by_state ON pulls (state)")
    database.execute("CREATE INDEX pulls_by_uid ON pulls (study_instance_uid)")
    database.execute("ALTER TABLE studies ADD COLUMN acquired_at TEXT")
    database.execute("ALTER TABLE studies ADD COLUMN is_prior INTEGER NOT NULL DEFAULT 0")


@MIGRATIONS(name="0010_sticks")
def _sticks(database: Database) -> None:
    database.execute("""
        CREATE TABLE sticks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            mount TEXT NOT NULL,
            state TEXT NOT NULL,
            is_writable INTEGER NOT NULL,
            counts TEXT NOT NULL,
            arrived_at TEXT NOT NULL
        )""")


@MIGRATIONS(name="0011_quarantine")
def _quarantine(database: Database) -> None:
    # Which version of the software set an object aside; empty for those before this column.
    database.execute("ALTER TABLE instances ADD COLUMN judged_by TEXT NOT NULL DEFAULT ''")
    database.execute("ALTER TABLE associations ADD COLUMN host TEXT NOT NULL DEFAULT ''")


@MIGRATIONS(name="0012_content")
def _content(database: Database) -> None:
    # What the box sees of an object, whatever its encoding; empty until it was read.
    database.execute("ALTER TABLE instances ADD COLUMN content_sha256 TEXT")


@MIGRATIONS(name="0013_ways")
def _ways(database: Database) -> None:
    # By which way a delivery came that has no sender with a name; empty by the network, and for those before.
    database.execute("ALTER TABLE associations ADD COLUMN way TEXT NOT NULL DEFAULT ''")


@MIGRATIONS(name="0014_room")
def _room(database: Database) -> None:
    # How much room the pixels of a received object need that found too little; 0 for all others.
    database.execute("ALTER TABLE instances ADD COLUMN needed_bytes INTEGER NOT NULL DEFAULT 0")


@MIGRATIONS(name="0015_outbox")
def _outbox(database: Database) -> None:
    # Objects that leave the box. When to try again is no column: the wall clock may jump.
    # urgency: 0 first. tries: how often it was sent; strikes: how often it failed while the destination took others;
    # makings: how often its making was begun and not ended. commitment: '' (none), 'wanted' or 'asked'.
    # trouble: what went wrong, as JSON, with the destination's own words; they may not name the patient.
    database.execute("""
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            study_id INTEGER NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
            version INTEGER NOT NULL,
            kind TEXT NOT NULL,
            destination TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'queued',
            urgency INTEGER NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0,
            strikes INTEGER NOT NULL DEFAULT 0,
            makings INTEGER NOT NULL DEFAULT 0,
            denials INTEGER NOT NULL DEFAULT 0,
            trouble TEXT,
            sop_class_uid TEXT NOT NULL DEFAULT '',
            sop_instance_uid TEXT NOT NULL DEFAULT '',
            commitment TEXT NOT NULL DEFAULT '',
            transaction_uid TEXT NOT NULL DEFAULT '',
            created_at TEXT NOT NULL,
            changed_at TEXT NOT NULL,
            UNIQUE (study_id, version, kind, destination)
        )""")
    database.execute("CREATE INDEX outbox_by_destination ON outbox (destination, state)")
    database.execute("CREATE INDEX outbox_by_study ON outbox (study_id)")
    database.execute("CREATE INDEX outbox_by_transaction ON outbox (transaction_uid)")


@MIGRATIONS(name="0016_object_digest")
def _object_digest(database: Database) -> None:
    # Of the file of an object, once it is made: a disk may damage it while the object waits.
    database.execute("ALTER TABLE outbox ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''")


@MIGRATIONS(name="0017_transactions")
def _transactions(database: Database) -> None:
    # Under which transactions a commitment was asked for since an object was sent: a late answer counts too.
    database.execute("""
        CREATE TABLE transactions (
            uid TEXT NOT NULL,
            row_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
            PRIMARY KEY (uid, row_id)
        )""")
    database.execute("CREATE INDEX transactions_by_row ON transactions (row_id)")
    database.execute("INSERT INTO transactions SELECT transaction_uid, id FROM outbox WHERE commitment = 'asked'")
