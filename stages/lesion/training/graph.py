"""Many small kernels in one launch, on a GPU that would wait for the processor between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Recorded:
    """A function of tensors whose kernels the GPU records once (a CUDA graph) and then replays.

    A replay gives the same bits. It reads and writes where the recording did: weights that the
    function uses have to stay in their place, gradients that it makes stay where they are, and its
    result holds until the next call. Random numbers follow `torch.manual_seed`, as they would
    without.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self._by_shapes: dict[tuple[torch.Size, ...], Callable[..., Tensor] | None] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """`inputs` lie on the current GPU or on the CPU; each set of shapes has its recording."""
        shapes = tuple(value.shape for value in inputs)
        if shapes not in self._by_shapes:
            # Loading kernels and filling caches cannot be recorded: the first time is a plain call.
            self._by_shapes[shapes] = None
            return self.function(*inputs)
        call = self._by_shapes[shapes] or self._record(*inputs)
        self._by_shapes[shapes] = call
        return call(*inputs)

    def _record(self, *inputs: Tensor) -> Callable[..., Tensor]:
        """What to call from now on; the function itself where memory is too small for a graph."""
        graph = torch.cuda.CUDAGraph()
        kept = [torch.empty_like(value, device="cuda") for value in inputs]
        try:
            with torch.cuda.graph(graph):
                result = self.function(*kept)
        except torch.OutOfMemoryError:
            print("too little GPU memory for a CUDA graph: going on without, slower", flush=True)
            return self.function

        def replay(*inputs: Tensor) -> Tensor:
            for place, value in zip(kept, inputs, strict=True):
                place.copy_(value, non_blocking=True)
            graph.replay()
            return result

        return replay
