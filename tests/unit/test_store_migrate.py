"""Which migrations are applied, and when the runner refuses."""

from __future__ import annotations

import pytest

from shinkei_store.errors import EditedMigration, NewerSchema
from shinkei_store.migrate import Migration, in_order, pending, released


def test_files_are_taken_by_number_and_others_are_left_out() -> None:
    found = in_order([("0002_b.sql", "b"), ("0001_a.sql", "a"), ("README.md", "x"), ("0001_a.sql.orig", "y")])
    assert [entry.name for entry in found] == ["0001_a.sql", "0002_b.sql"]


def test_two_files_of_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0001_a\.sql.*0001_b\.sql"):
        in_order([("0001_a.sql", ""), ("0001_b.sql", "")])


def test_only_what_is_missing_is_pending() -> None:
    known = [Migration(1, "0001_a.sql", "a"), Migration(2, "0002_b.sql", "b")]
    assert pending({}, known) == known
    assert pending({1: ("0001_a.sql", known[0].sha256)}, known) == known[1:]


def test_an_edited_file_is_refused_by_name() -> None:
    known = [Migration(1, "0001_a.sql", "a")]
    with pytest.raises(EditedMigration, match=r"0001_a\.sql"):
        pending({1: ("0001_a.sql", Migration(1, "0001_a.sql", "A").sha256)}, known)


def test_a_newer_database_is_refused_with_the_name_of_what_is_unknown() -> None:
    with pytest.raises(NewerSchema, match=r"0009_z\.sql"):
        pending({9: ("0009_z.sql", "")}, [Migration(1, "0001_a.sql", "a")])


def test_the_released_numbers_have_no_hole() -> None:
    assert [entry.number for entry in released()] == list(range(1, len(released()) + 1))
