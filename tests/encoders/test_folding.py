"""Folding against the module itself: the vectors stay, the normalisations go."""

from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from torch import nn

from encoders.folding import folded
from encoders.precision import Network

CPU = torch.device("cpu")


def core(network: Network, payloads: list[np.ndarray]) -> np.ndarray:
    """Pictures [3, h, w] -> [n, dim] float32, unit norm."""
    batch = torch.from_numpy(np.stack(payloads))
    return network.run(lambda module: nn.functional.normalize(module(batch).flatten(1), dim=1))


def pictures(count: int, seed: int) -> list[np.ndarray]:
    made = np.random.default_rng(seed)
    return list(made.normal(size=(count, 3, 64, 64)).astype(np.float32))


def network_of(module: nn.Module) -> Network:
    """With normalisations that do something, as trained ones do."""
    torch.manual_seed(0)
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean = torch.randn(one.num_features) * 0.1
            one.running_var = torch.rand(one.num_features) + 0.5
            nn.init.uniform_(one.weight, 0.5, 1.5)
            nn.init.uniform_(one.bias, -0.5, 0.5)
    return Network(module, CPU)


def normalisations(network: Network) -> int:
    return sum(isinstance(one, nn.BatchNorm2d) for one in network.module.modules())


def resnet() -> nn.Module:
    return open_clip.modified_resnet.ModifiedResNet([1, 1, 1, 1], 16, heads=4, image_size=64)


@pytest.mark.parametrize(
    "make", [lambda: timm.create_model("test_efficientnet", num_classes=0), resnet]
)
def test_every_normalisation_is_folded_and_vectors_stay(make: Any) -> None:
    network = network_of(make())
    before = normalisations(network)
    found = folded(network, core, pictures(1, 0))
    assert before > 5
    assert normalisations(found) == 0
    assert normalisations(network) == before, "the network that was given is left as it is"
    others = pictures(4, 1)
    assert np.abs(core(found, others) - core(network, others)).max() < 1e-5


def test_a_model_without_normalisations_is_the_same_object() -> None:
    network = Network(nn.Conv2d(3, 4, 3), CPU)
    assert folded(network, core, pictures(1, 0)) is network


class Twice(nn.Module):
    """The convolution's output goes into the normalisation and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        found = self.convolution(batch)
        return torch.relu(self.norm(found)) + found


class Shared(Twice):
    """One convolution, run twice."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.convolution(batch))) + self.convolution(batch / 2)


def test_a_convolution_whose_output_is_used_elsewhere_is_not_folded() -> None:
    network = network_of(Twice())
    assert folded(network, core, pictures(1, 0)) is network


def test_a_convolution_that_runs_twice_is_not_folded() -> None:
    network = network_of(Shared())
    found = folded(network, core, pictures(1, 0))
    assert normalisations(found) == 1
    assert np.array_equal(core(found, pictures(2, 1)), core(network, pictures(2, 1)))


def test_a_normalisation_before_its_convolution_stays() -> None:
    network = network_of(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert normalisations(folded(network, core, pictures(1, 0))) == 1
