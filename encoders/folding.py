"""Batch normalisation folded into the convolutions before it: same vectors, fewer passes."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from encoders.precision import Core, Network

MAX_DIFFERENCE = 1e-4
"""Most that a number of a vector may change; rounding alone changes it by less than 1e-6."""


def folded(network: Network, core: Core, payloads: list[Any]) -> Network:
    """The network without the batch normalisations that a convolution can take over.

    At inference a batch normalisation is a scale and a shift per channel, which the weights and the
    bias of the convolution before it can hold. Which convolution that is, one run shows: neither
    the order of a module's children nor a symbolic trace tells it for every architecture.

    Args:
        network: in float32; left as it is.
        core: runs a network on payloads -> [n, dim] float32, unit norm.
        payloads: some inputs.

    Returns:
        Another network, or the same one where there is nothing to fold, or where folding would
        change the vectors (the convolution's output is used elsewhere, too).
    """
    if not any(isinstance(one, nn.BatchNorm2d) for one in network.module.modules()):
        return network
    draft = Network(copy.deepcopy(network.module), network.device)
    for convolution, norm in _pairs(draft, core, payloads).items():
        _fold(draft.module, convolution, norm)
    change = np.abs(core(draft, payloads) - core(network, payloads)).max()
    return draft if change <= MAX_DIFFERENCE else network


def _pairs(network: Network, core: Core, payloads: list[Any]) -> dict[str, str]:
    """Name of a convolution -> name of the normalisation its output goes into; both run once."""
    names = {one: name for name, one in network.module.named_modules()}
    runs: Counter[nn.Module] = Counter()
    outputs: list[tuple[torch.Tensor, nn.Module]] = []
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def convolved(one: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        runs[one] += 1
        outputs.append((output, one))

    def normalises(one: nn.Module, inputs: Any) -> None:
        runs[one] += 1
        pairs.extend((source, one) for output, source in outputs if output is inputs[0])

    hooks = []
    for one in names:
        if isinstance(one, nn.Conv2d):
            hooks.append(one.register_forward_hook(convolved))
        elif type(one) in (nn.BatchNorm2d, BatchNormAct2d) and one.running_mean is not None:
            hooks.append(one.register_forward_pre_hook(normalises))
    try:
        core(network, payloads)
    finally:
        for hook in hooks:
            hook.remove()
    return {names[a]: names[b] for a, b in pairs if runs[a] == runs[b] == 1}


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    one: Any = module.get_submodule(norm)
    fused = fuse_conv_bn_eval(module.get_submodule(convolution), one)  # type: ignore[type-var]
    module.set_submodule(convolution, fused)
    rest = nn.Sequential(one.drop, one.act) if isinstance(one, BatchNormAct2d) else nn.Identity()
    module.set_submodule(norm, rest)
