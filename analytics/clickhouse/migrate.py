"""Numbered, forward-only changes of the ClickHouse schema: the same files for chDB and for a server.

ClickHouse has no transaction over DDL, so a kill may come between a change and the note that it ran: every
statement of a migration must bear being run again (IF NOT EXISTS and the like).
"""

from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_migrations.connection import ClickhouseConnectConnection
from clickhouse_migrations.exceptions import MigrationException
from clickhouse_migrations.migration import Migration, MigrationStorage
from clickhouse_migrations.migrator import Migrator

MIGRATIONS = Path(__file__).parent / "migrations"


class HistoryChanged(Exception):
    """A migration that ran was edited or removed: restore the file, and write a new one for the change."""


def pending(client: Client, folder: Path = MIGRATIONS) -> list[Migration]:
    """The migrations still to run, in order. Raises HistoryChanged."""
    return _pending(_migrator(client), folder)


def migrate(client: Client, folder: Path = MIGRATIONS) -> list[Migration]:
    """Run what is pending; the answer names what ran. Safe to repeat. Raises HistoryChanged."""
    migrator = _migrator(client)
    waiting = _pending(migrator, folder)
    if waiting:
        migrator.apply_migration(MigrationStorage(folder).migrations(), multi_statement=True)
    return waiting


def _migrator(client: Client) -> Migrator:
    migrator = Migrator(ClickhouseConnectConnection(client))
    migrator.init_schema()
    return migrator


def _pending(migrator: Migrator, folder: Path) -> list[Migration]:
    try:
        return migrator.migrations_to_apply(MigrationStorage(folder).migrations())
    except MigrationException as error:
        raise HistoryChanged(str(error)) from error
