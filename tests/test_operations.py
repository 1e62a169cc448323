"""The count of operations by which docs/benchmarks.md says how far a step is from its floor."""

import copy
import sys

import pytest
import torch
from torch import nn

from lesion.network.folding import rectify
from project import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from operations import Operations

CONVOLUTIONS = {  # of 8 channels to 8 at 4×4: multiplications and additions of an output, and kind
    "dense": (nn.Conv2d(8, 8, 3, padding=1, bias=False), 2 * 8 * 9 * 8 * 16, "other"),
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), 2 * 9 * 8 * 16, "depthwise"),
    "pointwise": (nn.Conv2d(8, 8, 1, bias=False), 2 * 8 * 8 * 16, "other"),
    "transposed": (nn.ConvTranspose2d(8, 8, 2, stride=2, bias=False), 2 * 8 * 4 * 8 * 16, "other"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_each_gradient_of_a_convolution_is_as_much_arithmetic_as_the_convolution(name):
    conv, expected, kind = CONVOLUTIONS[name]
    images = torch.randn(1, 8, 4, 4, requires_grad=True)
    with Operations() as operations:
        conv(images).sum().backward()
    assert operations.kinds[f"{kind} convolutions, forward"].operations == expected
    assert operations.kinds[f"{kind} convolutions, backward"].operations == 2 * expected


@pytest.mark.parametrize("name", ["dense", "depthwise", "pointwise"])
def test_a_convolution_with_a_relu_within_is_counted_as_one_without(name):
    conv, expected, kind = CONVOLUTIONS[name]
    layers = nn.Sequential(copy.deepcopy(conv).requires_grad_(False), nn.ReLU())
    rectify(layers)
    with Operations() as operations:
        layers(torch.randn(1, 8, 4, 4))
    assert operations.kinds[f"{kind} convolutions, forward"].operations == expected
    assert "ReLU" not in operations.kinds


def test_bytes_are_those_that_are_read_and_written_and_a_view_has_none():
    with Operations() as operations:
        torch.ones(4, 4).T.relu_()
    assert operations.kinds["ReLU"].bytes == 2 * 4 * 16  # the tensor comes in and goes out
    assert operations.whole.bytes == 3 * 4 * 16
