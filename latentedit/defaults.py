"""Defaults that the commands, the sliders and the scripts share. No imports: help stays instant."""

from __future__ import annotations

SEED = 0
"""Seed of the face that is shown if no other is asked for."""

MAX_SEED = 2**32 - 1
"""Largest seed, of faces and of training; the smallest is 0."""

FRAMES = 7
"""Frames of a film strip."""

PRECISION = "float32"
"""Floating-point type that the generator computes in."""

HOLD = "auto"
"""Attributes that must not change: the holds that are stored with the boundaries."""

REFINE_SECONDS = 20.0
"""Seconds for refining the latents of a photo."""

REFINE_LEAST = 40
"""Fewest refining steps; also taken if `REFINE_SECONDS` do not suffice."""

SAFE_RANGE = (-3.0, 3.0)
"""Lowest and highest step along an attribute whose safe range was not measured."""

CONVENTION = "portrait"
"""Convention that photos of faces are judged by, see `latentedit.portrait.conventions`."""

DISCOUNT = 1.0
"""Discount of an attribute that is held by name alone: held fully."""

POOL_SIZE = 20_000
"""Latents in a pool."""

POOL_FIRST_SEED = 1_000_000
"""First seed of a pool.

It is far from the small seeds that people look at, so boundaries are shown on faces that they were
not fitted on.
"""

EVALUATION_FIRST_SEED = 10_000_000
"""First seed of samples to measure; nobody looked at them while choosing a model."""

PREVIEW_FIRST_SEED = 30_000_000
"""First seed of the pictures that preview heads learn from."""

PAIRS_FIRST_SEED = 40_000_000
"""First seed of the pairs (latent, picture) that encoders and students learn from; two a pair."""

WHITENING_FIRST_SEED = 39_000_000
"""First seed of the latents that a student's whitening is made from."""

TEACHER_FIRST_SEED = 17_000_000
"""First seed of a teacher's faces that ``evaluate generator --teacher`` sets beside a student's."""

TYPICAL_FIRST_SEED = 11_000_000
HOLDS_FIRST_SEED = 12_000_000
EFFECTS_FIRST_SEED = 13_000_000
"""First seeds of unedited faces, of faces to choose holds on, and of faces to report effects on."""

TYPICAL_FACES = 4000
HOLDS_FACES = 100
EFFECTS_FACES = 500

SEARCH_LATENTS = 10_000
"""Latents that are scored to search holds with, if no pool is given."""

SEARCH_LEAST = 100
"""Fewest latents to search holds with, scored or from a pool."""

SEARCH_MOST = 100_000
"""Most latents of a pool that are used to search holds."""

SEARCH_FACES = 2000
"""Latents that holds are searched on; the surrogate was not fitted to them."""

EFFECT_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Steps of the re-scoring matrix."""

EFFECT_MODES = ("none", "one", "two", "auto", "all")
"""Kinds of holds that are compared: no holds, InterFaceGAN's projection on the one or the two most
similar boundaries, the boundaries' auto holds, and holds on every other attribute."""

FAR_STEPS = (-6.0, -4.5, *EFFECT_STEPS, 4.5, 6.0)
"""Steps at which safe ranges and calibrations are measured."""

LABELS = 500
"""Number of faces that ``label-seeds`` asks to label."""

LABELS_SIZE = 256
"""Largest edge of a face to label, in pixels."""

LABELS_FIRST_SEED = 60_000_000
"""First seed of faces to label at random: `LABELS_MOST` of them, then `LABELS_CANDIDATES`."""

LABELS_MOST = 100_000
LABELS_CANDIDATES = 10_000

METHODS_FIRST_SEED = 15_000_000
"""First seed of the faces of ``evaluate methods``; each ``--seed`` has its own 100,000."""

METHODS_FACES = 500
METHODS_TRIAL_FACES = 8
"""Faces to try directions without names on: the first of those that holds are chosen on."""

METHODS_REFERENCE = 2000
"""Latents that are scored for methods that learn from samples, if no pool is given."""

METHODS_TYPICAL = 1000
"""Unedited faces that strangeness is measured against."""

VALIDATION = 1000
"""Faces at the end of a training file that are held out."""

AGE_VALIDATION = 2000
"""The same for ages: more, because errors of ages spread more widely."""
PORTRAIT_CALIBRATION = 500
"""Faces before the held-out ones; they calibrate the portrait network's probabilities."""

AGE_FIRST_SEED = 20_000_000
"""First seed of the faces of ``evaluate age``; each ``--seed`` has its own million."""

AGE_FACES = 10_000

AGE_SLOW_FACES = 1000
"""How many of `AGE_FACES` the independent age estimator and dlib's descriptor look at."""

AGE_FRONTIER_FACES = 500
"""Faces that the frontier of age change against identity is measured on."""
