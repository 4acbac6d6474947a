"""Reads and writes what was found out about methods: the tables `prior` and `verdict`."""

import json
from collections.abc import Mapping
from dataclasses import astuple

from selfguide_lite.store.rows import Prior, PriorKey, VerdictRow, WayRow
from selfguide_lite.store.store_file import StoreFile

_VERDICT = "task_id, adapter_id, metric, data_sha256, n, over, before, after, low, high, sentence, winner_id"


class VerdictStore(StoreFile):
    """The tables `prior` and `verdict`, and what an evaluation must be known by."""

    def add_prior(self, key: PriorKey, n: int, shares: Mapping[str, float]) -> Prior:
        """Commit a prior, or return the one that is there of the same model, prompt and inputs.

        :param n: the number of inputs
        :param shares: mean share of each label
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO prior(task_id, model_id, adapter_id, prompt, template_sha256, inputs_sha256, n, shares,"
                " prompt_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT prompt_key FROM task WHERE id = ?))"
                " ON CONFLICT DO NOTHING",
                (*astuple(key), n, json.dumps(dict(shares), ensure_ascii=False), key.task_id),
            )
        found = self.find_prior(key)
        assert found is not None
        return found

    def find_prior(self, key: PriorKey) -> Prior | None:
        """Return a prior, or None."""
        rows = self._rows(
            "SELECT id, n, shares FROM prior WHERE task_id = ? AND model_id = ? AND adapter_id IS ? AND prompt = ?"
            " AND template_sha256 = ? AND (? IS NULL OR inputs_sha256 = ?)"
            " AND prompt_key = (SELECT prompt_key FROM task WHERE id = ?) ORDER BY id DESC LIMIT 1",
            *astuple(key),
            key.inputs_sha256,
            key.task_id,
        )
        return Prior(rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else None

    def prior_by_id(self, prior_id: int) -> Prior:
        """Return a prior that an evaluation names."""
        ((number, n, shares),) = self._rows("SELECT id, n, shares FROM prior WHERE id = ?", prior_id)
        return Prior(number, n, json.loads(shares))

    def add_verdict(self, new: VerdictRow) -> None:
        """Commit a verdict; one that only repeats the newest is not written down twice.

        :param new: its id does not count
        """
        values = (
            new.task_id,
            new.adapter_id,
            new.metric,
            new.data_sha256,
            new.n,
            new.over,
            new.before,
            new.after,
            new.low,
            new.high,
            new.sentence,
            new.winner_id,
        )
        version = self._value("SELECT version FROM task WHERE id = ?", new.task_id)
        last = self._rows(
            f"SELECT {_VERDICT}, version FROM verdict WHERE task_id = ? ORDER BY id DESC LIMIT 1", new.task_id
        )
        if last and last[0] == (*values, version):
            return
        with self._writing() as connection:
            places = ", ".join("?" * (len(values) + 1))
            connection.execute(f"INSERT INTO verdict({_VERDICT}, version) VALUES ({places})", (*values, version))

    def latest_verdict(self, task_id: int, adapter_id: int | None = None) -> VerdictRow | None:
        """Return a task's newest verdict over the prompts that it has now, or None.

        :param adapter_id: the adapter that it is on; None: whichever
        """
        rows = self._rows(
            f"SELECT id, {_VERDICT} FROM verdict AS v WHERE task_id = ?1 AND ifnull(?2, adapter_id) IS adapter_id"
            " AND ifnull((SELECT n.prompt_key"
            " FROM task_version AS n WHERE n.task_id = v.task_id AND n.number = v.version), '')"
            " = (SELECT t.prompt_key FROM task AS t WHERE t.id = v.task_id) ORDER BY id DESC LIMIT 1",
            task_id,
            adapter_id,
        )
        return VerdictRow(*rows[0]) if rows else None

    def way_of(self, evaluation_id: int) -> WayRow:
        """Return what an evaluation's method needs to be used again."""
        (row,) = self._rows(
            "SELECT e.method, e.n, m.path, m.sha256, e.adapter_id, a.path, e.template_sha256, e.prior_id"
            " FROM evaluation AS e LEFT JOIN model AS m ON m.id = e.model_id"
            " LEFT JOIN adapter AS a ON a.id = e.adapter_id"
            " WHERE e.id = ?",
            evaluation_id,
        )
        return WayRow(*row)

    def seed_of(self, adapter_id: int) -> int | None:
        """Return the seed of the training that made an adapter."""
        rows = self._rows("SELECT r.seed FROM adapter AS a JOIN run AS r ON r.id = a.run_id WHERE a.id = ?", adapter_id)
        return rows[0][0] if rows else None

    def trained_style(self, adapter_id: int) -> str | None:
        """Return how the answers that an adapter was trained on were asked for; None where it was not written down."""
        rows = self._rows(
            "SELECT a.settings, r.settings FROM adapter AS a JOIN run AS r ON r.id = a.run_id WHERE a.id = ?",
            adapter_id,
        )
        for settings in rows[0] if rows else ():
            style = json.loads(settings or "{}").get("answer_style")
            if style:
                return str(style)
        return None

    def newest_evaluation(self, task_id: int, method: str, adapter_id: int | None, template_sha256: str) -> int | None:
        """Return the id of a method's newest finished evaluation with a prompt template, or None."""
        rows = self._rows(
            "SELECT max(id) FROM evaluation WHERE task_id = ? AND method = ? AND adapter_id IS ?"
            " AND template_sha256 = ? AND mean IS NOT NULL AND prompt_key = (SELECT prompt_key FROM task WHERE id = ?)",
            task_id,
            method,
            adapter_id,
            template_sha256,
            task_id,
        )
        found: int | None = rows[0][0]
        return found
