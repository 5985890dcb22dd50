from __future__ import annotations

import torch

from latentedit.training.patches import PatchDiscriminator


def test_a_score_sees_a_patch_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4).eval()
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    scores = network(images)
    assert scores.shape == (1, 1, 16, 16)
    (slope,) = torch.autograd.grad(scores[0, 0, 8, 8], images)
    rows = slope.abs().sum((0, 1, 3)).nonzero().flatten()
    columns = slope.abs().sum((0, 1, 2)).nonzero().flatten()
    assert len(rows) == rows[-1] - rows[0] + 1 == 20
    assert len(columns) == 20


def test_scores_change_no_faster_than_the_pictures() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4)
    images = torch.rand(4, 3, 32, 32)
    for _ in range(50):  # power iterations
        network(images)
    network.eval()
    with torch.no_grad():
        moved = (network(images + 0.1) - network(images)).abs().amax()
    assert 0 < moved < 1
