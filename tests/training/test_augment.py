import math
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from lesion.photos.placement import image_to_square, mask_to_square, place
from lesion.synthetic import lesion_image
from lesion.training import augment
from lesion.training.augment import YCBCR, Augmentation, Variation, hair_layers
from lesion.training.batches import Split

SIDE = 32
OFF = {"orientations": False, "geometry": 0.0, "colour": 0.0, "hairs": 0.0}
ALL = {"orientations": True, "geometry": 1.0, "colour": 1.0, "hairs": 0.5}
EACH = [{"orientations": True}, {"geometry": 1.0}, {"colour": 1.0}, {"hairs": 0.5}, ALL]

Batch = tuple[Tensor, Tensor]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmentation(**strengths: float) -> Augmentation:
    return Augmentation(**{**OFF, **strengths})


def draw(count: int, seed: int = 0, **strengths: float) -> Variation:
    return augmentation(**strengths).draw(count, seeded(seed))


def varied(images: Tensor, masks: Tensor, seed: int = 0, **strengths: float) -> Batch:
    made = augmentation(**strengths)
    return made(images, masks, made.draw(len(images), seeded(seed)))


def values(variation: Variation) -> list[Tensor]:
    return [getattr(variation, field.name) for field in fields(variation)]


@pytest.fixture(scope="module")
def batch() -> Batch:
    pairs = [lesion_image(seed, SIDE, SIDE) for seed in range(6)]
    images = np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2)
    masks = np.stack([mask for _, mask in pairs])[:, None]
    return torch.from_numpy(images / np.float32(255)), torch.from_numpy(masks).float()


def mirrors_and_turns(image: Tensor) -> list[Tensor]:
    return [
        torch.rot90(mirrored, turns, dims=(-2, -1))
        for mirrored in (image, image.flip(-1))
        for turns in range(4)
    ]


@pytest.mark.parametrize("strengths", EACH, ids=str)
def test_shapes_and_types_stay_and_values_stay_in_range(batch, strengths):
    for seed in range(20):
        images, masks = varied(*batch, seed, **strengths)
        assert images.shape == batch[0].shape and images.dtype == torch.float32
        assert masks.shape == batch[1].shape and masks.dtype == batch[1].dtype
        assert images.min() >= 0 and images.max() <= 1
        assert set(masks.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("strengths", [OFF, {"colour": 1.0}, {"hairs": 0.5}, ALL], ids=str)
def test_channels_that_lie_last_in_memory_stay_last(batch, strengths):
    images = batch[0].contiguous(memory_format=torch.channels_last)
    changed, _ = varied(images, batch[1], **strengths)
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_nothing_changes_where_all_is_off(batch):
    images, masks = varied(*batch)
    assert torch.equal(images, batch[0]) and torch.equal(masks, batch[1])


@pytest.mark.parametrize("strengths", EACH, ids=str)
def test_whatever_is_on_changes_images(batch, strengths):
    assert not torch.equal(varied(*batch, **strengths)[0], batch[0])


@pytest.mark.parametrize("strengths", [{"colour": 1.0}, {"hairs": 1.0}], ids=str)
def test_colour_and_hairs_leave_masks_alone(batch, strengths):
    assert torch.equal(varied(*batch, **strengths)[1], batch[1])


def test_masks_follow_their_images():
    _, mask = lesion_image(3, SIDE, SIDE)
    masks = torch.from_numpy(mask)[None, None].float()
    for seed in range(50):
        images, moved = varied(masks.repeat(1, 3, 1, 1), masks, seed, **{**ALL, "hairs": 0})
        grey = images.mean(1, keepdim=True)
        if not 0 < moved.mean() < 1:
            continue  # a crop of one side of the rim alone
        middle = (grey.min() + grey.max()) / 2
        # Colour changes are monotonic, so the picture of the mask is cut near its middle grey.
        assert ((grey > middle) != (moved > 0.5)).float().mean() < 0.02


def test_mirror_gives_mirror_images_and_quarter_turns_and_nothing_else(batch):
    seen = set()
    for seed in range(30):
        images, masks = varied(*batch, seed, orientations=True)
        for before, after, mask_before, mask_after in zip(
            batch[0], images, batch[1], masks, strict=True
        ):
            distances = [(after - other).abs().max() for other in mirrors_and_turns(before)]
            which = int(np.argmin(distances))
            assert distances[which] < 1e-4
            assert torch.equal(mask_after, mirrors_and_turns(mask_before)[which])
            seen.add(which)
    assert seen == set(range(8))


def test_each_of_the_eight_views_is_as_likely():
    views = draw(8000, orientations=True).geometry.round().to(torch.int64)
    assert not views[:, :, 2].any()
    counts = views.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 8 and (counts - 1000).abs().max() < 150  # five deviations


@pytest.mark.parametrize("strengths", EACH, ids=str)
def test_same_seed_gives_the_same_batch_and_another_seed_another(batch, strengths):
    first, again, other = (varied(*batch, seed, **strengths) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_a_part_of_a_batch_is_varied_as_the_whole_is(batch):
    made = augmentation(**ALL)
    variation = made.draw(6, seeded(0))
    images, masks = made(*batch, variation)
    for rows in (slice(0, 2), slice(2, 5), slice(5, 6), slice(1, None, 2)):
        part = made(batch[0][rows], batch[1][rows], variation[rows])
        torch.testing.assert_close(part[0], images[rows], rtol=0, atol=1e-6)
        assert torch.equal(part[1], masks[rows])


def test_a_variation_is_the_same_on_another_device():
    variation = draw(3, **ALL)
    for before, after in zip(values(variation), values(variation.to("cpu")), strict=True):
        assert torch.equal(before, after)
    assert {value.device.type for value in values(variation.to("meta"))} == {"meta"}


@pytest.mark.parametrize("strengths", EACH, ids=str)
def test_arguments_are_left_as_they_were(batch, strengths):
    made = augmentation(**strengths)
    variation = made.draw(6, seeded(0))
    given = [*batch, *values(variation)]
    before = [tensor.clone() for tensor in given]
    made(*batch, variation)
    assert all(map(torch.equal, before, given))


def test_images_of_a_batch_are_varied_independently(batch):
    images, masks = (tensor[:1].repeat(8, 1, 1, 1) for tensor in batch)
    for strengths in ({"geometry": 1.0}, {"colour": 1.0}, {"hairs": 1.0}):
        changed, _ = varied(images, masks, **strengths)
        assert len({image.numpy().tobytes() for image in changed}) == 8


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_empty_masks_stay_empty_and_full_ones_full(batch, mask):
    masks = torch.full_like(batch[1], mask)
    for seed in range(10):
        assert torch.equal(varied(batch[0], masks, seed, **ALL)[1], masks)


def test_images_are_moved_then_lie_behind_hairs_and_then_the_light_changes_on_both(batch):
    variation = draw(6, **ALL)
    expected = batch
    for strengths in ({"orientations": True, "geometry": 1.0}, {"hairs": 0.5}, {"colour": 1.0}):
        expected = augmentation(**strengths)(*expected, variation)
    images, masks = augmentation(**ALL)(*batch, variation)
    torch.testing.assert_close(images, expected[0], rtol=0, atol=1e-6)
    assert torch.equal(masks, expected[1])


# -- Geometry --------------------------------------------------------------------------------------


def test_without_geometry_and_mirror_images_stay_where_they_are():
    assert torch.equal(draw(5).geometry, torch.eye(2, 3).repeat(5, 1, 1))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("orientations", [False, True])
def test_turn_zoom_stretch_and_shift_fill_their_range_and_keep_to_it(
    monkeypatch, strength, orientations
):
    monkeypatch.setattr(augment, "CROPPED", 0)
    drawn = draw(5000, orientations=orientations, geometry=strength).geometry
    linear, shift = drawn[:, :, :2], drawn[:, :, 2]
    areas = torch.linalg.det(linear)
    assert (areas < 0).any() == orientations
    lengths = linear.square().sum(1).sqrt()  # of the images of both axes
    angles = torch.atan2(linear[:, 1, 1], linear[:, 0, 1]) - math.pi / 2
    angles = (angles + math.pi) % (2 * math.pi) - math.pi
    for found, limit in (
        (areas.abs().log() / 2, augment.ZOOM * strength),
        ((lengths[:, 0] / lengths[:, 1]).log() / 2, augment.STRETCH * strength),
        (shift[:, 0], augment.SHIFT * strength),
        (shift[:, 1], augment.SHIFT * strength),
        (angles, math.pi if orientations else math.pi / 4 * strength),
    ):
        assert -limit - 1e-5 <= found.min() < -0.97 * limit
        assert 0.97 * limit < found.max() <= limit + 1e-5
        assert found.mean().abs() < 0.1 * limit


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_share_of_the_images_is_a_part_that_lies_anywhere_within(monkeypatch, strength):
    for name in ("ZOOM", "STRETCH", "SHIFT"):
        monkeypatch.setattr(augment, name, 0)
    drawn = draw(20000, geometry=strength).geometry
    part, place = torch.linalg.det(drawn[:, :, :2]).sqrt(), drawn[:, :, 2]
    cropped = part < 1 - 1e-4
    assert cropped.float().mean().item() == pytest.approx(augment.CROPPED, abs=0.01)
    assert not place[~cropped].abs().max() > 1e-3
    part, place = part[cropped], place[cropped]
    smallest = math.exp(-augment.CROP * strength)
    assert smallest - 1e-5 <= part.min() < smallest + 0.02
    room = 1 - part[:, None]
    assert (place.abs() <= room + 1e-6).all()
    relative = place / room
    assert relative.min() < -0.97 and relative.max() > 0.97
    assert np.abs(np.corrcoef(relative.T.numpy())[0, 1]) < 0.1


def test_what_comes_in_from_outside_is_the_images_reflection(batch):
    made = augmentation(geometry=1.0)
    variation = replace(
        made.draw(6, seeded(0)),
        geometry=torch.tensor([[1.0, 0, 0.5], [0, 1, 0]]).repeat(6, 1, 1),  # a quarter to the left
    )
    quarter = SIDE // 4
    for before, after in zip(batch, made(*batch, variation), strict=True):
        inside, outside = before[..., quarter:], before[..., -quarter:].flip(-1)
        torch.testing.assert_close(after, torch.cat([inside, outside], -1), rtol=0, atol=1e-5)


# -- Photographs that are not square ---------------------------------------------------------------

WIDE, TALL = (90, 120), (120, 90)
Photograph = tuple[np.ndarray, np.ndarray]  # uint8 H×W×3, bool H×W


def placed(policy: str, photographs: list[Photograph], side: int) -> Split:
    """As the stage preprocess leaves them."""
    places = [place(policy, *mask.shape, side) for _, mask in photographs]
    images = [
        image_to_square(image, placement, mask.shape, side)
        for placement, (image, mask) in zip(places, photographs, strict=True)
    ]
    masks = [
        mask_to_square(Image.fromarray(mask * np.uint8(255)), placement, side)
        for placement, (_, mask) in zip(places, photographs, strict=True)
    ]
    index = pd.DataFrame([placement.columns() for placement in places]).assign(id="x")
    return Split.of(index, np.stack(images), np.stack(masks))


def varied_split(split: Split, seed: int = 0, **strengths: float) -> Batch:
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255
    masks = torch.from_numpy(split.masks)[:, None].float()
    made = Augmentation(**{**OFF, **strengths}, bars=split.frames.have_bars)
    return made(images, masks, made.draw(len(split), seeded(seed), split.frames))


def shown(split: Split) -> list[tuple[slice, slice]]:
    """Rows and columns of each photograph in its square."""
    side = split.images.shape[1]
    return [
        tuple(slice(round(low), round(high)) for low, high in zip(start, end, strict=True))
        for start, end in (
            ((middle - half + 1) * side / 2, (middle + half + 1) * side / 2)
            for middle, half in split.frames.boxes.flip(2).numpy()
        )
    ]


def disc(shape: tuple[int, int], x: float, y: float, radius: float) -> Photograph:
    rows, columns = np.indices(shape)
    mask = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2
    return np.where(mask[..., None], np.uint8([90, 40, 30]), np.uint8([220, 180, 170])), mask


def elongation(mask: np.ndarray, aspect: float) -> float:
    """The longer axis of a mask by its shorter one, where pixels are `aspect` times as wide."""
    rows, columns = np.nonzero(mask)
    axes = np.linalg.eigvalsh(np.cov(columns * aspect, rows))
    return math.sqrt(axes[1] / axes[0])


@pytest.mark.parametrize("geometry", [0.0, 1.0])
@pytest.mark.parametrize("shape", [WIDE, TALL, (90, 126), (100, 100)], ids=str)
@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_a_round_lesion_stays_round_in_the_photographs_shape_at_any_turn(
    monkeypatch, policy, shape, geometry
):
    for name in ("ZOOM", "STRETCH", "SHIFT", "CROPPED"):
        monkeypatch.setattr(augment, name, 0)
    height, width = shape
    split = placed(policy, [disc(shape, width / 2 + 1, height / 2 - 1, 12)] * 40, side=96)
    aspect = width / height if policy == "stretch" else 1
    _, masks = varied_split(split, orientations=True, geometry=geometry)
    found = [elongation(mask[0].numpy(), aspect) for mask in masks]
    assert max(found) < 1.06


def test_a_lesion_keeps_its_share_of_the_photograph_when_it_is_turned():
    split = placed("stretch", [disc(WIDE, 60, 45, 20)] * 20, side=96)
    _, masks = varied_split(split, orientations=True)
    shares = masks.mean((1, 2, 3))
    assert ((shares / split.masks.mean() - 1).abs() < 0.03).all()


@pytest.mark.parametrize("shape", [WIDE, TALL, (90, 119), (88, 123)], ids=str)
@pytest.mark.parametrize("side", [48, 63])
def test_a_letterboxed_photograph_is_mirrored_and_turned_as_evaluation_would_place_it(shape, side):
    image, mask = lesion_image(4, *shape)
    views = [
        (np.ascontiguousarray(np.rot90(one, turns)), np.ascontiguousarray(np.rot90(other, turns)))
        for one, other in ((image, mask), (image[:, ::-1], mask[:, ::-1]))
        for turns in range(4)
    ]
    expected = placed("letterbox", views, side)
    images, masks = varied_split(placed("letterbox", [(image, mask)] * 60, side), orientations=True)
    seen = set()
    for after, mask_after in zip(images.permute(0, 2, 3, 1), masks, strict=True):
        distances = [
            abs(after.numpy() - other / np.float32(255)).mean() for other in expected.images
        ]
        which = int(np.argmin(distances))
        assert distances[which] < 0.01
        assert (mask_after[0].numpy() != expected.masks[which]).mean() < 0.01
        bars = np.ones((side, side), bool)
        bars[shown(expected)[which]] = False
        assert not after[bars].any()
        seen.add(which)
    assert seen == set(range(8))


@pytest.mark.parametrize("strengths", [*EACH, {**ALL, "orientations": False}], ids=str)
def test_bars_stay_black_and_none_of_it_comes_into_the_photograph(strengths):
    grey = np.full((*WIDE, 3), 120, np.uint8), np.ones(WIDE, bool)
    tall = np.full((*TALL, 3), 120, np.uint8), np.ones(TALL, bool)
    split = placed("letterbox", [grey, tall, disc((100, 100), 50, 50, 20)] * 10, side=49)
    images, masks = varied_split(split, **strengths)
    for row, (image, mask) in enumerate(zip(images, masks[:, 0], strict=True)):
        if row % 3 == 2:
            continue  # has no bars
        inside = mask > 0  # all of the photograph is lesion
        rows, columns = inside.any(1), inside.any(0)
        assert torch.equal(inside, rows[:, None] & columns)
        assert sorted((int(rows.sum()), int(columns.sum()))) == [37, 49]
        assert not image[:, ~inside].any()
        if not strengths.get("hairs"):
            assert torch.allclose(image[:, inside], image[:, inside][:, :1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("strengths", [{"colour": 1.0}, {"geometry": 1.0}], ids=str)
def test_bars_change_nothing_in_the_photograph(monkeypatch, strengths):
    # What a photograph without bars becomes, in a batch with bars and beside others without.
    square, wide = lesion_image(1, 64, 64), lesion_image(2, *WIDE)
    split = placed("letterbox", [square, square, wide, square], side=32)
    images, masks = varied_split(split, **strengths)
    alone, alone_masks = varied_split(placed("letterbox", [square] * 4, side=32), **strengths)
    others = [0, 1, 3]
    torch.testing.assert_close(images[others], alone[others], rtol=0, atol=1e-4)
    assert (masks[others] != alone_masks[others]).float().mean() < 0.01


def test_colours_of_a_photograph_with_bars_are_those_that_it_has_without():
    photographs = [lesion_image(seed, *WIDE) for seed in range(6)]
    split = placed("letterbox", photographs, side=48)
    made = Augmentation(**{**OFF, "colour": 1.0}, bars=True)
    variation = made.draw(6, seeded(1), split.frames)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255
    changed, _ = made(images, images[:, :1] * 0, variation)
    rows, columns = shown(split)[0]
    inner = images[:, :, rows, columns]
    assert inner.shape[2:] == (36, 48)
    without = replace(variation, target=torch.tensor([[0.0, 0], [1, 1]]).expand(6, 2, 2))
    expected, _ = augmentation(colour=1.0)(inner, inner[:, :1] * 0, without)
    torch.testing.assert_close(changed[:, :, rows, columns], expected, rtol=0, atol=1e-5)


def test_what_comes_in_beside_bars_is_the_photographs_reflection():
    photograph = lesion_image(3, *WIDE)
    split = placed("letterbox", [photograph], side=64)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255
    masks = torch.from_numpy(split.masks)[:, None].float()
    made = Augmentation(**{**OFF, "geometry": 1.0}, bars=True)
    quarter = 12  # rows of 48
    variation = replace(
        made.draw(1, seeded(0), split.frames),
        geometry=torch.tensor([[[1.0, 0, 0], [0, 1, 2 * quarter / 64]]]),
    )
    for before, after in zip((images, masks), made(images, masks, variation), strict=True):
        before, after = before[:, :, 8:56], after[:, :, 8:56]
        expected = torch.cat([before[:, :, quarter:], before[:, :, -quarter:].flip(2)], dim=2)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_square_photographs_are_varied_to_the_bit_as_without_knowing_their_frames(batch, policy):
    squares = placed(policy, [lesion_image(seed, 64, 64) for seed in range(6)], SIDE)
    made = augmentation(**ALL)
    variation = made.draw(6, seeded(3), squares.frames)
    assert all(map(torch.equal, values(variation), values(made.draw(6, seeded(3)))))


def test_the_shape_of_the_photographs_changes_nothing_that_is_drawn():
    wide = placed("letterbox", [lesion_image(1, *WIDE)] * 6, SIDE).frames
    made = augmentation(**ALL)
    for seed in range(3):
        one, other = made.draw(6, seeded(seed), wide), made.draw(6, seeded(seed))
        for field in ("colour", "contrast", "brightness", "layer", "hair", "tone"):
            assert torch.equal(getattr(one, field), getattr(other, field))
        drawn = [variation.geometry[:, :, :2] for variation in (one, other)]
        torch.testing.assert_close(*drawn)  # its pixels are square


# -- Colour ----------------------------------------------------------------------------------------


def test_a_stronger_change_of_colour_changes_more():
    def change(strength: float) -> float:
        flat = torch.full((64, 3, 4, 4), 0.5)
        return (varied(flat, flat[:, :1] * 0, colour=strength)[0] - 0.5).abs().mean().item()

    changes = [change(strength) for strength in (0, 0.25, 0.5, 1)]
    assert changes == sorted(changes)
    assert changes[0] == 0 and changes[-1] > 0.05


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_light_and_exposure_fill_their_range_and_keep_to_it(strength):
    variation = draw(5000, colour=strength)
    lamp = variation.colour @ torch.ones(3)  # what becomes of white: neither hue nor saturation
    for found, middle, limit in (
        (variation.brightness, 0, augment.BRIGHTNESS),
        (variation.contrast, 1, augment.CONTRAST),
        *((lamp[:, channel], 1, augment.LIGHT) for channel in range(3)),
    ):
        limit *= strength
        assert middle - limit - 1e-5 <= found.min() < middle - 0.97 * limit
        assert middle + 0.97 * limit < found.max() <= middle + limit + 1e-5
        assert (found.mean() - middle).abs() < 0.1 * limit
    assert np.abs(np.corrcoef(lamp.T.numpy())[np.triu_indices(3, 1)]).max() < 0.1  # each its own


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_hue_and_saturation_fill_their_range_and_keep_luma(monkeypatch, strength):
    monkeypatch.setattr(augment, "LIGHT", 0)
    matrices = YCBCR @ draw(5000, colour=strength).colour @ torch.linalg.inv(YCBCR)
    expected = torch.tensor([1.0, 0, 0]).expand(5000, 3)
    torch.testing.assert_close(matrices[:, 0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(matrices[:, :, 0], expected, rtol=0, atol=1e-5)
    chroma = matrices[:, 1:, 1:]
    turn = torch.atan2(chroma[:, 1, 0], chroma[:, 0, 0])
    factor = torch.linalg.det(chroma).sqrt().log()
    for found, limit in ((turn, augment.HUE), (factor, augment.SATURATION)):
        limit *= strength
        assert -limit - 1e-5 <= found.min() < -0.97 * limit
        assert 0.97 * limit < found.max() <= limit + 1e-5
    rotations = chroma / torch.linalg.det(chroma).sqrt()[:, None, None]
    identity = torch.eye(2).expand(5000, 2, 2)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-5)


def test_luma_is_that_of_itu_r_bt_601():
    assert YCBCR[0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert (YCBCR @ torch.ones(3)).tolist() == pytest.approx(
        [1, 0, 0], abs=1e-6
    )  # white: no colour


def test_without_saturation_all_is_grey_of_the_same_luma(monkeypatch):
    monkeypatch.setattr(augment, "LIGHT", 0)
    monkeypatch.setattr(augment, "SATURATION", 1e6)  # makes the factor 0 or infinite
    matrices = draw(100, colour=1.0).colour
    grey = matrices[matrices.isfinite().all(-1).all(-1)]
    assert 30 < len(grey) < 70
    torch.testing.assert_close(grey, YCBCR[0].expand_as(grey), rtol=0, atol=1e-5)


def test_colours_are_turned_then_spread_about_their_new_mean_then_brightened_then_cut(batch):
    made = augmentation(colour=1.0)
    variation = made.draw(6, seeded(1))
    images, _ = made(*batch, variation)
    for i, image in enumerate(batch[0]):
        pixels = torch.einsum("rc,chw->rhw", variation.colour[i], image)
        mean = pixels.mean()
        pixels = (pixels - mean) * variation.contrast[i] + mean + variation.brightness[i]
        torch.testing.assert_close(images[i], pixels.clamp(0, 1), rtol=0, atol=1e-5)


# -- Hairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_hairs_lie_over_their_share_of_the_images(share):
    variation = draw(5000, hairs=share)
    covered = variation.hair > 0
    assert covered.float().mean().item() == pytest.approx(share, abs=0.04)  # six deviations
    assert (share in (0, 1)) == (len(covered.unique()) == 1)
    for found, (low, high) in (
        (variation.hair[covered], augment.OPACITY),
        (variation.tone, augment.DARKEST_TO_LIGHTEST),
    ):
        if len(found):
            assert low <= found.min() < low + 0.02 and high - 0.02 < found.max() <= high
    assert variation.layer.unique().tolist() == list(range(augment.HAIR_LAYERS))


def test_hairs_are_their_tone_where_they_cover_and_other_images_and_pixels_stay():
    made = augmentation(hairs=0.5)
    white = torch.ones(16, 3, SIDE, SIDE)
    variation = made.draw(16, seeded(0))
    images, _ = made(white, white[:, :1], variation)
    layers = hair_layers(augment.HAIR_LAYERS, SIDE)
    assert 0 < (variation.hair > 0).sum() < 16
    for i, image in enumerate(images):
        cover = layers[variation.layer[i]] * variation.hair[i]
        expected = (1 - cover * (1 - variation.tone[i])).expand(3, SIDE, SIDE)
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-6)
        assert (image[:, cover[0] == 0] == 1).all()


def test_hairs_fit_images_of_each_size_that_comes():
    made = augmentation(hairs=1.0)
    for side in (16, 32, 16):
        white = torch.ones(4, 3, side, side)
        images, _ = made(white, white[:, :1], made.draw(4, seeded(0)))
        assert images.shape == white.shape and (images < 1).any()


@pytest.mark.parametrize("side", [16, 64, 301])
def test_hair_layers_are_soft_drawings_neither_empty_nor_full_and_all_different(side):
    layers = hair_layers(16, side)
    assert layers.shape == (16, 1, side, side) and layers.dtype == torch.float32
    assert layers.min() == 0 and layers.max() == 1
    shares = layers.mean((1, 2, 3))
    assert (shares > 0).all() and (shares < 0.9).all()
    assert ((layers > 0) & (layers < 1)).any()
    assert len({layer.numpy().tobytes() for layer in layers}) == 16
    assert torch.equal(layers, hair_layers(16, side))
    assert not torch.equal(layers, hair_layers(16, side, seed=1))


@pytest.mark.parametrize("sideways", [False, True])
def test_a_hair_that_leaves_the_image_ends_there(monkeypatch, sideways):
    monkeypatch.setattr(augment, "HAIRS", 1)
    points = torch.tensor([[0.51, 0.5], [0.51, 0.15], [0.51, -0.2]])  # x, y: straight up and out
    drawn = (points.flip(1) if sideways else points).view(1, 1, 3, 1, 2)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: (drawn + 0.2) / 1.4)
    layer = hair_layers(1, SIDE)[0, 0]
    layer = layer.T if sideways else layer
    expected = torch.zeros(SIDE, SIDE)
    expected[:18, 15:18] = 1  # the hair, and a pixel of soft edge about it
    assert torch.equal(layer > 0, expected > 0)


def test_every_layer_that_training_uses_has_a_hair():
    assert (hair_layers(augment.HAIR_LAYERS, SIDE).amax((1, 2, 3)) > 0).all()


def test_hairs_of_large_images_are_thicker():
    small, large = (hair_layers(4, side).mean().item() * side for side in (299, 300))
    assert 1.8 < large / small < 2.6
