import numpy as np
import pytest
import torch

from lesion.augment import augment
from lesion.synthetic import lesion_image

SIDE = 32


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    pairs = [lesion_image(seed, SIDE, SIDE) for seed in range(6)]
    images = np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2)
    masks = np.stack([mask for _, mask in pairs])[:, None]
    return torch.from_numpy(images / np.float32(255)), torch.from_numpy(masks).float()


def mirrors_and_turns(image: torch.Tensor) -> list[torch.Tensor]:
    return [
        torch.rot90(mirrored, turns, dims=(-2, -1))
        for mirrored in (image, image.flip(-1))
        for turns in range(4)
    ]


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_shapes_and_types_stay_and_values_stay_in_range(batch, strength):
    for seed in range(20):
        images, masks = augment(*batch, strength, seeded(seed))
        assert images.shape == batch[0].shape and images.dtype == torch.float32
        assert masks.shape == batch[1].shape and masks.dtype == batch[1].dtype
        assert images.min() >= 0 and images.max() <= 1
        assert set(masks.unique().tolist()) <= {0, 1}


def test_masks_follow_their_images():
    _, mask = lesion_image(3, SIDE, SIDE)
    masks = torch.from_numpy(mask)[None, None].float()
    for seed in range(50):
        images, moved = augment(masks.repeat(1, 3, 1, 1), masks, 1, seeded(seed))
        grey = images.mean(1, keepdim=True)
        middle = (grey.min() + grey.max()) / 2
        # Colour changes are monotonic, so the picture of the mask is cut near its middle grey.
        assert ((grey > middle) != (moved > 0.5)).float().mean() < 0.02


def test_strength_0_gives_mirror_images_and_quarter_turns_and_nothing_else(batch):
    seen = set()
    for seed in range(30):
        images, masks = augment(*batch, 0, seeded(seed))
        for before, after, mask_before, mask_after in zip(
            batch[0], images, batch[1], masks, strict=True
        ):
            distances = [(after - other).abs().max() for other in mirrors_and_turns(before)]
            which = int(np.argmin(distances))
            assert distances[which] < 1e-4
            assert torch.equal(mask_after, mirrors_and_turns(mask_before)[which])
            seen.add(which)
    assert seen == set(range(8))


@pytest.mark.parametrize("strength", [0, 0.7])
def test_same_seed_gives_the_same_batch_and_another_seed_another(batch, strength):
    first, again, other = (augment(*batch, strength, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_arguments_are_left_as_they_were(batch):
    before = [tensor.clone() for tensor in batch]
    augment(*batch, 1, seeded(0))
    assert all(torch.equal(a, b) for a, b in zip(before, batch, strict=True))


def test_images_of_a_batch_are_varied_independently(batch):
    images = batch[0][:1].repeat(8, 1, 1, 1)
    varied, _ = augment(images, batch[1][:1].repeat(8, 1, 1, 1), 1, seeded(0))
    assert len({image.numpy().tobytes() for image in varied}) == 8


def test_a_stronger_augmentation_changes_more(batch):
    def colour_change(strength: float) -> float:
        flat = torch.full((64, 3, 4, 4), 0.5)
        images, _ = augment(flat, flat[:, :1] * 0, strength, seeded(0))
        return (images - 0.5).abs().mean().item()

    changes = [colour_change(strength) for strength in (0, 0.25, 0.5, 1)]
    assert changes == sorted(changes)
    assert changes[0] < 1e-6 and changes[-1] > 0.05


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_empty_masks_stay_empty_and_full_ones_full(batch, mask):
    masks = torch.full_like(batch[1], mask)
    for seed in range(10):
        assert torch.equal(augment(batch[0], masks, 1, seeded(seed))[1], masks)
