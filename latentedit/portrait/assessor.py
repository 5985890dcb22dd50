"""A photo -> six portrait qualities, each with a score, a verdict and advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.classifiers.portrait import QUALITIES, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.inference.devices import pick_device, place
from latentedit.inference.judges import JUDGED_EDGE, Judges
from latentedit.io.images import UInt8Array, open_image, to_tensor
from latentedit.photos.align import PORTRAIT_EDGE, Face, HeadPose, align, cut, find_faces
from latentedit.photos.photograph import check_pixels
from latentedit.portrait.conventions import Convention, find_convention
from latentedit.portrait.degradations import face_mask
from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, find_bundle, load_portrait

GOOD, POOR, CANNOT_TELL, NOT_ASKED = "good", "poor", "cannot tell", "does not count"

UNSURE = (0.4, 0.6)
"""Scores between these two give no verdict."""

SMALLEST: Mapping[str, float] = {
    "blur": 64,
    "occlusion": 40,
    "make-up": 48,
    "illumination": 32,
    "expression": 40,
    "pose": 32,
}
"""Edge in pixels that the portrait frame must have in the photo for a quality to be judged."""

TOO_BLURRED: Mapping[str, float] = {"make-up": 0.02, "expression": 0.02, "occlusion": 0.005}
"""Scores of blur below which another quality is not judged: on held-out portraits it is then
wrong more often than elsewhere, expression about twice as often (docs/portrait.md)."""

PROMINENT = 0.5
"""If another face has at least this share of the largest face's size, the photo shows several
people and is not a portrait."""


@dataclass(frozen=True)
class Quality:
    """One quality of a portrait.

    Attributes:
        score: probability that it is good, 0 to 1.
        verdict: `GOOD`, `POOR`, `CANNOT_TELL`, or `NOT_ASKED` if the convention does not ask for
            it.
        advice: a sentence if there is something to do about it, or None.
    """

    score: float
    verdict: str
    advice: str | None = None


@dataclass(frozen=True)
class Assessment:
    """What was found in one photo.

    Attributes:
        faces: how many prominent faces there are; only one is assessed.
        qualities: by name, in the order of `QUALITIES`; empty unless there is one face.
        message: why there is nothing to assess, or None.
        portrait: the picture that the network looked at, uint8 [S, S, 3], or None.
        convention: name of the convention it was judged by.
        detail: width of the portrait in the photo, as a share of the width that the network looks
            at, at most 1: a small copy of a photo has less.
    """

    faces: int
    qualities: Mapping[str, Quality]
    message: str | None = None
    portrait: UInt8Array | None = field(default=None, repr=False, compare=False)
    convention: str = defaults.CONVENTION
    detail: float = field(default=1.0, compare=False)

    def having(self, verdict: str) -> list[str]:
        """Names of the qualities with a verdict."""
        return [name for name, row in self.qualities.items() if row.verdict == verdict]

    @property
    def is_clean(self) -> bool:
        """Whether there is one face, and all that is asked of it is known to be good."""
        return bool(self.having(GOOD)) and not self.having(POOR) + self.having(CANNOT_TELL)

    @property
    def summary(self) -> str:
        """The verdict in one line; the message where nothing was judged."""
        if self.message is not None:
            return self.message
        if self.is_clean:
            return find_convention(self.convention).praise
        poor, unknown = self.having(POOR), self.having(CANNOT_TELL)
        said = f"poor: {', '.join(poor)}" if poor else "nothing poor was found"
        return f"{said}; cannot tell: {', '.join(unknown)}" if unknown else said

    @property
    def rank(self) -> tuple[int, int, float]:
        """Sorts photos that one convention judged; better photos rank higher.

        The number of qualities that are known to be good comes first, then how few are poor, then
        the mean score of the good ones times `detail`. A quality that cannot be told counts for
        nothing.
        """
        scores = [row.score for row in self.qualities.values() if row.verdict == GOOD]
        mean = float(np.mean(scores)) if scores else 0.0
        return len(scores), -len(self.having(POOR)), self.detail * mean

    def as_json(self) -> dict[str, Any]:
        """Plain data: ``convention``, ``faces``, ``qualities``, and ``message`` if there is one."""
        rows = {
            name: {"score": round(q.score, 4), "verdict": q.verdict, "advice": q.advice}
            for name, q in self.qualities.items()
        }
        message = {} if self.message is None else {"message": self.message}
        return {"convention": self.convention, "faces": self.faces, "qualities": rows, **message}


def best_shot(assessments: Sequence[Assessment]) -> int | None:
    """Return the index of the best of several photos (the first of equals), by `Assessment.rank`.

    None if nothing is known to be good in any of them.
    """
    shots = [i for i, assessment in enumerate(assessments) if assessment.having(GOOD)]
    return max(shots, key=lambda i: assessments[i].rank, default=None)


class PortraitAssessor:
    """Assesses portraits with one network and dlib's detector.

    Args:
        network: the portrait network; it is set to eval mode.
        device: where it runs.
        judges: recognise glasses and hats; without judges these count as occlusions in every
            convention.
    """

    def __init__(
        self,
        network: PortraitNetwork,
        device: str | torch.device = "cpu",
        judges: Judges | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.network = place(network, self.device).eval()
        self.judges = judges

    @classmethod
    def load(cls, model: str | Path | None = None, *, device: str = "auto") -> PortraitAssessor:
        """Load the shipped network, or another bundle's, and the shipped classifier.

        Args:
            model: a bundle's name or folder.
            device: auto, cpu, cuda, mps.

        Raises:
            LatentEditError: no such bundle, damaged weights, or no such device.
        """
        network, _ = load_portrait(find_bundle(model, part="portrait"))
        return cls(network, pick_device(device), Judges.load(EMBEDDED_BUNDLE, device=device))

    def assess(
        self, image: UInt8Array | str | Path, convention: str | Convention = defaults.CONVENTION
    ) -> Assessment:
        """Find the face in a photo and judge its six qualities.

        Args:
            image: uint8 [H, W, 3], or a file.
            convention: what is asked, see `latentedit.portrait.conventions`: ``"portrait"`` or
                ``"passport"``.

        Raises:
            LatentEditError: the file cannot be read, the array has another shape or dtype, there is
                no such convention, or the extra ``faces`` is missing.
        """
        convention = find_convention(convention)
        if not isinstance(image, np.ndarray):
            image = open_image(image)
        check_pixels(image)
        found = find_faces(image)
        faces = [face for face in found if face.frame_edge >= PROMINENT * found[0].frame_edge]
        if len(faces) != 1:
            message = _none_or_several(len(faces))
            return Assessment(len(faces), {}, message, convention=convention.name)
        face = faces[0]
        centre, edge = face.portrait_frame
        resolution = self.network.config.resolution
        portrait = cut(image, centre, edge, resolution)
        with torch.inference_mode():
            logits, maps = self.network.look(to_tensor(portrait[None], self.device))
        scores = dict(zip(QUALITIES, torch.sigmoid(-logits[0].double()).tolist(), strict=True))
        covered = maps[0, QUALITIES.index("occlusion")].float().cpu().numpy()
        advice = {
            "blur": "hold the camera still, and focus on the eyes",
            "occlusion": occlusion_advice(covered),
            "make-up": "heavy make-up: use less for a natural look",
            "illumination": illumination_advice(portrait),
            "expression": "relax the face and close the mouth for a calm expression",
            "pose": pose_advice(face.pose, convention.most_degrees),
        }
        qualities = {
            name: _verdict(name, scores, edge, face, advice[name], convention) for name in QUALITIES
        }
        if qualities["occlusion"].verdict == POOR and (worn := self._worn(image, face, convention)):
            reason = f"{worn}: fine, but it cannot be told whether anything else covers the face"
            qualities["occlusion"] = Quality(scores["occlusion"], CANNOT_TELL, reason)
        detail = min(1.0, edge / resolution)
        return Assessment(1, qualities, None, portrait, convention.name, detail)

    def _worn(self, image: UInt8Array, face: Face, convention: Convention) -> str:
        """Return what the convention allows to wear and the classifier sees, in words, or ""."""
        if self.judges is None or not convention.worn:
            return ""
        seen = self.judges.score(align(image, face, JUDGED_EDGE))[0]
        shares = dict(zip(self.judges.attributes, seen, strict=True))
        return " and ".join(
            words for name, words in convention.worn.items() if shares.get(name, 0.0) > 0.5
        )

    def scores(self, portraits: UInt8Array, *, batch_size: int = 64) -> NDArray[np.float32]:
        """Return the probabilities that the six qualities are good.

        Args:
            portraits: uint8 [N, S, S, 3] in the portrait frame.
            batch_size: portraits looked at together.

        Returns:
            float32 [N, 6] in the order of `QUALITIES`.
        """
        rows = []
        with torch.inference_mode():
            for start in range(0, len(portraits), batch_size):
                images = to_tensor(portraits[start : start + batch_size], self.device)
                rows.append(torch.sigmoid(-self.network(images).float()).cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, len(QUALITIES)), np.float32)

    def clean_share(self, faces: UInt8Array) -> float:
        """Return the share of faces in the shared frame, uint8 [N, R, R, 3], with nothing poor.

        The portrait frame is larger than the shared frame; what lies beyond is mirrored.

        Raises:
            LatentEditError: no faces.
        """
        if not len(faces):
            raise LatentEditError("no faces have no share of clean ones: give one or more")
        size, edge = self.network.config.resolution, faces.shape[1]
        centre = np.full(2, edge / 2)
        portraits = [cut(face, centre, PORTRAIT_EDGE * edge, size) for face in faces]
        return float((self.scores(np.stack(portraits)) >= UNSURE[0]).all(1).mean())


def occlusion_advice(covered: NDArray[np.float32]) -> str:
    """Say what to uncover, from where the network saw an occlusion, [h, w] of the portrait."""
    weight = np.square(np.clip(covered, 0, None)) + 1e-9
    height, width = weight.shape
    y = float((weight.sum(1) @ (np.arange(height) + 0.5)) / weight.sum() / height)
    x = float((weight.sum(0) @ (np.arange(width) + 0.5)) / weight.sum() / width)
    if y < 0.42:
        return "something covers the forehead: brush the hair aside, or take the hat off"
    if y > 0.62:
        return "something covers mouth or chin: take the hand, mask or scarf away"
    if abs(x - 0.5) < 0.08:
        return "something covers the eyes or the nose: take glasses off, and keep hands away"
    side = "left" if x < 0.5 else "right"
    return f"something covers the {side} of the picture: keep hair and hands off that eye and cheek"


def illumination_advice(portrait: UInt8Array) -> str:
    """Say what to do about the light, from its distribution over a portrait, uint8 [S, S, 3]."""
    size = len(portrait)
    light = (portrait.astype(np.float64) + 1) ** 2.2  # in proportion to light
    grey = light @ (0.299, 0.587, 0.114)
    face = face_mask(size)
    columns = np.broadcast_to(np.arange(size)[None] < size / 2, face.shape)
    left, right = (math.log2(np.median(grey[face & side])) for side in (columns, ~columns))
    middle = math.log2(np.median(grey[face])) - math.log2(256**2.2)  # stops below white
    ground = np.ones_like(face)
    ground[round(0.2 * size) :, round(0.12 * size) : round(0.88 * size)] = False
    behind = math.log2(np.median(grey[ground])) - math.log2(256**2.2)
    red, green, blue = np.log2(np.median(light[face], axis=0))
    tint = max(abs(red - green - 1.0), abs(blue - green + 0.7))  # skin in white light
    side = "left" if left < right else "right"
    stops_off = {
        f"the {side} of the picture lies in shadow: turn towards the window or the lamp": (
            abs(left - right) / 1.6
        ),
        "the light comes from behind: turn round, so that it falls on the face": (
            (behind - middle - 1.5) / 2.0
        ),
        "the picture is too dark: turn towards the window, or add light": (-middle - 3.2) / 1.5,
        "the picture is too bright: step out of the direct light, or expose less": (
            (middle + 1.2) / 0.6
        ),
        "the light has a colour: use daylight, or set the white balance": tint / 1.6,
    }
    return max(stops_off, key=lambda advice: stops_off[advice])


def pose_advice(pose: HeadPose, most: Mapping[str, float] | None = None) -> str:
    """Say how to hold the head.

    Args:
        pose: of the head.
        most: a convention's limits in degrees, see `Convention`; what goes further beyond its limit
            is named.
    """
    yaw, roll = (abs(getattr(pose, name)) / (most or {}).get(name, 1.0) for name in ("yaw", "roll"))
    if roll > yaw:
        side = "right" if pose.roll > 0 else "left"
        return f"hold the head upright: it leans to the {side} of the picture"
    side = "right" if pose.yaw > 0 else "left"
    return f"turn the head to the camera: it looks to the {side} of the picture"


def verdict_of(score: float) -> str:
    """What a score says on its own: `GOOD`, `POOR`, or `CANNOT_TELL` where it is unsure."""
    if score > UNSURE[1]:
        return GOOD
    return POOR if score < UNSURE[0] else CANNOT_TELL


def _verdict(
    name: str,
    scores: Mapping[str, float],
    edge: float,
    face: Face,
    advice: str,
    convention: Convention,
) -> Quality:
    score = scores[name]
    if name not in convention.asked:
        return Quality(score, NOT_ASKED)
    if edge < SMALLEST[name]:
        wide = round(face.box[2] - face.box[0])
        reason = f"the face is only {wide} pixels wide: come closer, or use a larger picture"
        return Quality(score, CANNOT_TELL, reason)
    if scores["blur"] < TOO_BLURRED.get(name, 0.0):
        return Quality(score, CANNOT_TELL, "the picture is too blurred to say: take a sharper one")
    verdict = verdict_of(score)
    most = convention.most_degrees if name == "pose" else {}
    if any(abs(getattr(face.pose, angle)) > degrees for angle, degrees in most.items()):
        verdict = POOR  # a convention may ask for more than the network learned
    return Quality(score, verdict, advice if verdict == POOR else None)


def _none_or_several(count: int) -> str:
    if count == 0:
        return "no face found: show one face from the front, not too small and in enough light"
    return f"{count} faces found: show one person at a time"
