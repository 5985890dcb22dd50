"""Networks prepared once for fast inference on a CPU: the same function, other arithmetic.

With the extra ``fast``, OpenVINO computes the kinds of networks in `FORMS`. Without it, PyTorch
computes networks as they are. docs/decisions.md has the speed of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from latentedit.classifiers.backbone import Backbone
from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.generators.progressive import Generator
from latentedit.generators.progressive_w import ProgressiveW
from latentedit.inference.backbone import openvino_backbone
from latentedit.inference.mobilestylegan import OpenVINOMobileStyleGAN
from latentedit.inference.openvino import has_openvino
from latentedit.inference.progressive import OpenVINOGenerator, OpenVINOProgressiveW

FORMS: dict[type[nn.Module], Callable[[Any, torch.dtype], nn.Module]] = {
    Backbone: lambda network, dtype: openvino_backbone(network),
    Generator: OpenVINOGenerator,
    ProgressiveW: OpenVINOProgressiveW,
    MobileStyleGAN: OpenVINOMobileStyleGAN,
}
"""The fast form of each kind of network, also for kinds that are derived from it."""


def prepare(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Prepare a network for inference where this package knows a faster form of it.

    Args:
        network: any; left as it is, and later changes of its weights are not seen.
        dtype: that a generator is to compute in, float32 or bfloat16; others stay in float32.

    Returns:
        a module that is called like the network, without gradients, which threads may share; the
        network itself where it is not on a CPU, nothing faster is known, or the extra ``fast`` is
        missing.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    if on_cpu and has_openvino():
        for kind in type(network).__mro__:
            if kind in FORMS:
                return FORMS[kind](network, dtype).eval()
    return network
