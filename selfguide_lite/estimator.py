"""A text classifier by scikit-learn's convention: `fit`, `predict`, `predict_proba`, `classes_`.

from selfguide_lite.estimator import SelfguideClassifier
classifier = SelfguideClassifier(instruction="Is the customer happy or upset?").fit(texts, labels)
classifier.predict(["Where is my parcel?"])
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.methods.names import FINETUNED, named
from selfguide_lite.own_data import take_in
from selfguide_lite.pipeline import run
from selfguide_lite.prediction import PredictOptions, Predictor, load
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import OwnInput, Store
from selfguide_lite.task import Example, Task


class SelfguideClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Finetunes a model on texts with labels, and with the setting `rounds` on pairs that it writes itself too.

    :param instruction: what to do with a text, as you would tell a person
    :param model: GGUF file; None: `$SELFGUIDE_MODEL`, else the default model
    :param examples_per_label: how many given texts of each label the prompt shows
    :param settings: fields of `Settings`; `rounds` is 0 where it is not among them: the given texts alone
    :param seed: fixes every random choice
    :param folder: where the database and the adapter go; None: a folder that lives as long as this object
    """

    def __init__(
        self,
        instruction: str = "Say which label fits the text.",
        model: str | Path | None = None,
        examples_per_label: int = 2,
        settings: Mapping[str, Any] | None = None,
        seed: int = 42,
        folder: str | Path | None = None,
    ):
        self.instruction = instruction
        self.model = model
        self.examples_per_label = examples_per_label
        self.settings = settings
        self.seed = seed
        self.folder = folder

    def fit(self, X: Sequence[str], y: Sequence[Any]) -> Self:
        """Finetune on texts with their labels. A folder that holds another fit is refused.

        :param X: texts
        :param y: their labels, of any type whose text tells them apart
        :raises SelfguideError: where there are fewer than two labels, or training fails
        """
        texts, labels = _texts(X), np.asarray(y)
        if len(texts) != len(labels):
            raise ValueError(f"X has {len(texts)} texts, y has {len(labels)} labels")
        self.classes_ = np.unique(labels)
        names = tuple(str(label) for label in self.classes_)
        if len(names) < 2:
            raise SelfguideError("y holds one label only; a classifier needs two or more")
        rows = [(text, str(label)) for text, label in zip(texts, labels, strict=True)]
        shown = [row for name in names for row in [row for row in rows if row[1] == name][: self.examples_per_label]]
        task = Task(
            name="classifier",
            kind="classification",
            instruction=self.instruction,
            labels=names,
            examples=tuple(Example(input=text, output=name) for text, name in shown),
            settings=Settings.model_validate({"rounds": 0, **(self.settings or {})}),
        )
        self._close()
        self._place = tempfile.TemporaryDirectory() if self.folder is None else None
        db = Path(self._place.name if self._place is not None else str(self.folder)) / "classifier.db"
        db.parent.mkdir(parents=True, exist_ok=True)
        with Store.open(db) as store:
            own = [OwnInput(text, f"fit: row {number}", name) for number, (text, name) in enumerate(rows, 1)]
            take_in(store, store.add_task(task), own, "fit", ())
        result = run(task, db, RunOptions(model=self.model, seed=self.seed))
        if result.adapter is None:
            raise SelfguideError("no model was finetuned: the packages for training are missing")
        self._loaded: Predictor | None = load(db, PredictOptions(model=self.model, method=named(FINETUNED, "scored")))
        return self

    def predict_proba(self, X: Sequence[str]) -> Any:
        """Return the probability of each of `classes_` for each text, as an array of texts by classes."""
        check_is_fitted(self, "classes_")
        assert self._loaded is not None
        found = self._loaded.probabilities(_texts(X))
        return np.array([[shares[name] for name in self._loaded.labels] for shares in found])

    def predict(self, X: Sequence[str]) -> Any:
        """Return the likeliest of `classes_` for each text."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def _close(self) -> None:
        loaded = getattr(self, "_loaded", None)
        if loaded is not None:
            loaded.close()
        self._loaded = None

    def __del__(self) -> None:
        self._close()


def _texts(given: Sequence[str]) -> list[str]:
    """Return texts from a list, an array or a column of a table."""
    texts = list(np.asarray(given, dtype=object).ravel())
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"X must hold texts, not {type(wrong[0]).__name__}")
    return texts
