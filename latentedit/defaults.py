"""Defaults that the commands, the sliders and the scripts share. No imports: help stays instant."""

from __future__ import annotations

SEED = 0
"""The face that is shown where none is asked for."""

MAX_SEED = 2**32 - 1
"""Largest seed, of faces and of training; the smallest is 0."""

FRAMES = 7
"""Frames of a film strip."""

PRECISION = "float32"
"""That the generator computes in."""

HOLD = "auto"
"""What must not change: the holds stored with the boundaries."""

REFINE_SECONDS = 20.0
"""In which the latents of a photo are refined."""

REFINE_LEAST = 40
"""Steps of refining that are done on a slow machine too."""

SAFE_RANGE = (-3.0, 3.0)
"""Lowest and highest step along an attribute whose safe range nobody measured."""

CONVENTION = "portrait"
"""By what photos of faces are judged, see `latentedit.portrait.conventions`."""

DISCOUNT = 1.0
"""Discount of an attribute that is held by name alone: held fully."""

POOL_SIZE = 20_000
"""Latents in a pool."""

POOL_FIRST_SEED = 1_000_000
"""Seeds of a pool run upwards from here.

Far from the small seeds that people look at, so boundaries are shown on faces they were not
fitted on.
"""

EVALUATION_FIRST_SEED = 10_000_000
"""Samples to measure start here: seeds that nobody looked at while choosing a model."""

PREVIEW_FIRST_SEED = 30_000_000
"""Pictures that preview heads learn from."""

PAIRS_FIRST_SEED = 40_000_000
"""Two seeds for each pair of latent and picture that encoders and students learn from."""

WHITENING_FIRST_SEED = 39_000_000
"""Latents that a student's whitening is made from."""

TYPICAL_FIRST_SEED = 11_000_000
HOLDS_FIRST_SEED = 12_000_000
EFFECTS_FIRST_SEED = 13_000_000
"""Unedited faces, the faces that holds are chosen on, and those that effects are reported on."""

TYPICAL_FACES = 4000
HOLDS_FACES = 100
EFFECTS_FACES = 500

SEARCH_LATENTS = 10_000
"""Latents that are scored to search holds with, where no pool is given."""

SEARCH_LEAST = 100
"""Fewer say nothing, scored or of a pool."""

SEARCH_MOST = 100_000
"""Latents of a pool that are used, at most."""

SEARCH_FACES = 2000
"""Latents that holds are searched on, none that the surrogate was fitted to."""

EFFECT_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Steps of the re-scoring matrix."""

FAR_STEPS = (-6.0, -4.5, *EFFECT_STEPS, 4.5, 6.0)
"""Steps at which safe ranges and calibrations are measured."""

LABELS = 500
"""Labels of seeds that ``label-seeds`` asks for."""

LABELS_SIZE = 256
"""Pixels of a face to label, at most."""

LABELS_FIRST_SEED = 60_000_000
"""Faces to label at random; `LABELS_MOST` of them, and behind these the candidates."""

LABELS_MOST = 100_000
LABELS_CANDIDATES = 10_000

METHODS_FIRST_SEED = 15_000_000
"""Faces of ``evaluate methods``; each ``--seed`` has its own 100,000."""

METHODS_FACES = 500
METHODS_TRIAL_FACES = 8
"""Faces that directions without names are tried on; the first ones that holds are chosen on."""

METHODS_REFERENCE = 2000
"""Latents that are scored for methods that learn from samples, where no pool is given."""

METHODS_TYPICAL = 1000
"""Unedited faces that strangeness is measured against."""

VALIDATION = 1000
"""Faces at the end of a training file that are held out."""

AGE_VALIDATION = 2000
"""The same for ages, whose errors spread more widely."""
PORTRAIT_CALIBRATION = 500
"""Faces before the held-out ones that make the portrait network's probabilities honest."""

AGE_FIRST_SEED = 20_000_000
"""Faces of ``evaluate age``; each ``--seed`` has its own million."""

AGE_FACES = 10_000

AGE_SLOW_FACES = 1000
"""Of these, the faces that the independent age estimator and dlib's descriptor look at."""

AGE_FRONTIER_FACES = 500
"""Faces that the frontier of age change against identity is drawn on."""
