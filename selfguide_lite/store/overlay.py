"""Reads a store as if some settings of the filters were others. Changes nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from selfguide_lite.store.store import Store
from selfguide_lite.store.tasks import FILTER_SETTINGS


class SettingsOverlay(Store):
    """A store read as if some filter settings were others. What is written through it stays, the settings do not.

    Every read happens between a savepoint and its rollback, so nothing is left behind, however it ends.

    :param changes: fields of `Settings` that the filters read
    """

    def __init__(self, store: Store, changes: Mapping[str, Any]):
        if unknown := set(changes) - set(FILTER_SETTINGS):
            raise ValueError(f"no filter settings: {', '.join(sorted(unknown))}")
        super().__init__(store.connection, store.path)
        self._changes = dict(changes)

    def _each(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows(sql, *values))  # read before the settings are put back

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        self.connection.execute("SAVEPOINT settings_overlay")
        try:
            for key, value in self._changes.items():
                self.connection.execute(
                    "INSERT OR REPLACE INTO setting(task_id, key, value) SELECT id, ?, ? FROM task", (key, value)
                )
            return super()._rows(sql, *values)
        finally:
            self.connection.execute("ROLLBACK TO settings_overlay")
            self.connection.execute("RELEASE settings_overlay")
