"""Measure what edits of a model do, as the slides did: boundaries, ageing, holds.

    python scripts/evaluate_edits.py [MODEL]

The commands `latentedit boundaries measure`, `evaluate age` and `evaluate all` do the same with
options and progress bars.
"""

from __future__ import annotations

import argparse

from latentedit import FaceEditor
from latentedit.evaluation.edits.aging import evaluate_age
from latentedit.evaluation.edits.measure import holds_in_words, measure, open_traces
from latentedit.evaluation.figures.slides import boundary_rows

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "model", nargs="?", help="a bundle's name or folder; by default the model that 'edit' uses"
)
editor = FaceEditor.load(parser.parse_args().model)
for name, row in boundary_rows(editor.boundaries).items():
    print(f"{name}: accuracy {row['accuracy']} (slides {row['slides_accuracy']})")
boundaries, effects = measure(open_traces(editor, "runs/measure"), choose=False)
for name, row in effects.at_half().items():
    print(holds_in_words(name, row))
print(evaluate_age(editor, "runs/age")["years"])
