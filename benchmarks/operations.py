"""What is computed, operation by operation: how long it takes, its arithmetic and its bytes."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import conv_flop_count, flop_registry


@dataclass
class Spent:
    """Seconds, and the arithmetic and the bytes that they went into."""

    seconds: float = 0.0
    operations: float = 0.0
    bytes: int = 0


class Operations(TorchDispatchMode):
    """Measures what is computed, views apart: altogether and by kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, Spent] = {}

    @property
    def whole(self) -> Spent:
        spent = self.kinds.values()
        return Spent(*(sum(getattr(one, name) for one in spent) for name in vars(Spent())))

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> object:
        start = time.perf_counter()
        result = function(*given, **(named or {}))
        seconds = time.perf_counter() - start
        if not function.is_view:
            spent = self.kinds.setdefault(kind_of(function, given), Spent())
            spent.seconds += seconds
            spent.operations += arithmetic(function, given, result)
            values = tree_leaves((given, named, result))
            spent.bytes += sum(value.nbytes for value in values if isinstance(value, torch.Tensor))
        return result


def arithmetic(function: Any, given: tuple, result: Any) -> int:
    """How many operations a call is: a multiplication and an addition are two."""
    if function is torch.ops.aten.convolution_backward.default:
        # As many for each gradient as forward. The counter takes a depthwise one for a full one.
        above, images, weights, *_, transposed, _, _, wanted = given
        once = conv_flop_count(images.shape, weights.shape, above.shape, transposed)
        return once * sum(wanted[:2])
    if function is torch.ops.mkldnn._convolution_pointwise.default:  # with a ReLU
        images, weights, *_ = given
        return conv_flop_count(images.shape, weights.shape, result.shape)
    count = flop_registry.get(function._overloadpacket)
    return count(*given, out_val=result) if count else 0


KINDS = {
    "batch_norm": "batch normalisation",
    "hardtanh": "ReLU",
    "relu": "ReLU",
    "clamp": "ReLU",
    "threshold": "ReLU",
    "copy": "copies and other types",
    "clone": "copies and other types",
}


def kind_of(function: Any, given: tuple) -> str:
    name = function._overloadpacket.__name__
    if "convolution" in name:
        weights = given[2] if "backward" in name else given[1]
        # A transposed convolution's first dimension is that of what comes in.
        one_a_channel = weights.shape[1] == 1 and weights.shape[0] > 1 and weights.shape[2] > 1
        which = "depthwise" if one_a_channel else "other"
        return f"{which} convolutions, {'backward' if 'backward' in name else 'forward'}"
    return next((kind for part, kind in KINDS.items() if part in name), "the rest")
