"""What training minimises."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels: a float32 scalar.

    `logits` is B×1×H×W of any floating type, `masks` B×1×H×W of 0 and 1, here as below.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), masks.float())


def soft_dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of the probabilities, in [0, 1], per image, mean over images: a float32 scalar.

    After Milletari et al. (V-Net, 2016, https://arxiv.org/abs/1606.04797), with plain sums in the
    denominator. The 1 added above and below makes an empty mask with an empty prediction cost 0.
    """
    pixels = (1, 2, 3)
    probabilities, masks = logits.float().sigmoid(), masks.float()
    overlap = (probabilities * masks).sum(pixels)
    total = probabilities.sum(pixels) + masks.sum(pixels)
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def cross_entropy_and_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Their sum. Cross-entropy has a gradient everywhere and is calibrated; Dice does not let large
    lesions outvote small ones."""
    return cross_entropy(logits, masks) + soft_dice_loss(logits, masks)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": cross_entropy,
    "bce_dice": cross_entropy_and_dice,
}
