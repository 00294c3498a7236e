import shutil

import pytest

from analytics.clickhouse.migrate import MIGRATIONS, HistoryChanged, migrate, pending


def test_after_migrating_nothing_is_pending_and_a_repeat_changes_nothing(clickhouse):
    assert pending(clickhouse) == []
    assert migrate(clickhouse) == []


def test_a_new_file_is_pending_until_it_ran(clickhouse, tmp_path):
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (folder / "9001_probe.sql").write_text("CREATE TABLE probe (x Int64) ENGINE = MergeTree ORDER BY x;")

    waiting = [migration.version for migration in pending(clickhouse, folder)]
    ran = [migration.version for migration in migrate(clickhouse, folder)]

    assert waiting == ran == [9001]
    assert clickhouse.command("EXISTS TABLE probe") == 1
    clickhouse.command("DROP TABLE probe")
    clickhouse.command("ALTER TABLE schema_versions DELETE WHERE version = 9001 SETTINGS mutations_sync = 1")


def test_a_migration_that_was_killed_before_it_was_noted_runs_again(clickhouse):
    # ClickHouse has no transaction over DDL: after a kill the tables are there and the note is not.
    clickhouse.command("TRUNCATE TABLE schema_versions")

    ran = [migration.version for migration in migrate(clickhouse)]

    assert ran == list(range(1, len(ran) + 1))
    assert pending(clickhouse) == []


def test_an_edited_migration_is_refused(clickhouse, tmp_path):
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    first = min(folder.iterdir())
    first.write_text(first.read_text() + "-- edited\n")

    with pytest.raises(HistoryChanged):
        migrate(clickhouse, folder)


def test_the_files_are_numbered_without_a_gap():
    numbers = sorted(int(path.name[:4]) for path in MIGRATIONS.glob("*.sql"))

    assert numbers == list(range(1, len(numbers) + 1))
