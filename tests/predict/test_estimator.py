"""The estimator by scikit-learn's own means: cloned, cross-validated, its probabilities in the order of its classes."""

from pathlib import Path

import numpy as np
import pytest
from needs import needs

needs("sklearn", "needs scikit-learn")
needs("unsloth")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import cross_validate  # noqa: E402

from selfguide_lite import SelfguideError  # noqa: E402
from selfguide_lite.core.resources import resource  # noqa: E402
from selfguide_lite.estimator import SelfguideClassifier  # noqa: E402
from selfguide_lite.task.eval_rows import load_eval  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_it_is_cross_validated_as_any_classifier_is(tmp_path: Path) -> None:
    rows = load_eval(resource("tests/tiny_tasks/cheer-or-grumble.yaml").with_suffix(".eval.jsonl"))[:40]
    texts, labels = [row.input for row in rows], np.array([row.references[0] for row in rows])
    classifier = SelfguideClassifier(
        instruction="Judge what is said of the thing: cheer or grumble.",
        model=resource("data/tiny_vicuna/tiny-vicuna.gguf"),
        settings={"min_steps": 1, "max_steps": 12, "average_weights": 0, "epochs": 3},
    )
    result = cross_validate(classifier, texts, labels, cv=2, return_estimator=True)
    assert result["test_score"].shape == (2,) and result["test_score"].mean() > 0.7, result["test_score"]

    fitted = result["estimator"][0]
    assert list(fitted.classes_) == ["cheer", "grumble"]
    shares = fitted.predict_proba(texts[:10])
    assert shares.shape == (10, 2) and shares.sum(axis=1) == pytest.approx(1)
    assert (fitted.predict(texts[:10]) == fitted.classes_[shares.argmax(axis=1)]).all()
    with pytest.raises(SelfguideError, match="one label only"):
        clone(classifier).fit(texts[:2], ["a", "a"])
    with pytest.raises(ValueError, match="X must hold texts"):
        clone(classifier).fit([1, 2], ["a", "b"])  # type: ignore[list-item]
