"""What can go wrong with the database, each a decision for the caller.

::

    ShinkeiError
    └── StoreError
        ├── DatabaseBusy     another process serves this folder: leave it alone
        ├── ServerFailed     the embedded server did not start: the text has its last words
        ├── EditedMigration  an applied migration file was changed: put it back, add a new one
        └── NewerSchema      the database was migrated by a newer program: run that one

A database that is merely away is `shinkei_events.errors.NotConnected`: try again.
"""

from __future__ import annotations

from shinkei_events.errors import ShinkeiError


class StoreError(ShinkeiError):
    """Root of the store's own errors."""


class DatabaseBusy(StoreError):
    """Another process already runs the server of this folder."""


class ServerFailed(StoreError):
    """The embedded server could not be made or started."""


class EditedMigration(StoreError):
    """A migration that was applied differs from the file in this program."""


class NewerSchema(StoreError):
    """The database knows migrations that this program does not have."""
