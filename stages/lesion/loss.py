"""What training minimises: binary cross-entropy plus soft Dice."""

from torch import Tensor
from torch.nn import functional as F


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean over the images of cross-entropy plus soft Dice loss: a float32 scalar.

    `logits` is B×1×H×W of any floating type, `masks` B×1×H×W of 0 and 1. Cross-entropy has a
    gradient everywhere and is calibrated; Dice does not let large lesions outvote small ones.
    """
    logits, masks = logits.float(), masks.float()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, masks)
    return cross_entropy + soft_dice_loss(logits, masks)


def soft_dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of the probabilities, in [0, 1], per image, mean over images: a scalar.

    After Milletari et al. (V-Net, 2016, https://arxiv.org/abs/1606.04797), with plain sums in the
    denominator. The 1 added above and below makes an empty mask with an empty prediction cost 0.
    """
    pixels = (1, 2, 3)
    probabilities = logits.sigmoid()
    overlap = (probabilities * masks).sum(pixels)
    total = probabilities.sum(pixels) + masks.sum(pixels)
    return (1 - (2 * overlap + 1) / (total + 1)).mean()
