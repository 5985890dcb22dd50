"""What edits of a model do, as the slides measured it: boundaries, ageing, locks.

    python scripts/evaluate_edits.py MODEL

The commands `latentedit boundaries measure`, `evaluate age` and `evaluate all` do the same with
options and progress bars.
"""

from __future__ import annotations

import sys

from latentedit import FaceEditor
from latentedit.evaluation.aging import evaluate_age
from latentedit.evaluation.measure import locks_in_words, measure, open_traces
from latentedit.evaluation.slides import boundary_rows

editor = FaceEditor.load(sys.argv[1] if len(sys.argv) > 1 else None)
for name, row in boundary_rows(editor.boundaries).items():
    print(f"{name}: accuracy {row['accuracy']} (slides {row['slides_accuracy']})")
boundaries, effects = measure(open_traces(editor, "runs/measure"), choose=False)
for name, row in effects.at_half().items():
    print(locks_in_words(name, row))
print(evaluate_age(editor, "runs/age")["years"])
