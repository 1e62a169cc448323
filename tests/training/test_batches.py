from dataclasses import replace

import numpy as np
import torch

from lesion.training.batches import Split, load_batch, resident
from lesion.training.frames import Frames

CPU = torch.device("cpu")
FRAMES = Frames(torch.rand(8, 2, 2), torch.rand(8))


def test_tensors_give_what_arrays_give(train_split):
    images, masks = map(torch.from_numpy, (train_split.images, train_split.masks))
    rows = np.array([5, 0, 2])
    resident_batch = load_batch(Split(images, masks, train_split.ids), rows, CPU)
    for one, other in zip(resident_batch, load_batch(train_split, rows, CPU), strict=True):
        assert one.dtype == other.dtype == torch.float32 and torch.equal(one, other)


def test_a_batch_holds_its_rows_in_their_order(train_split):
    images, masks = load_batch(train_split, np.array([5, 0]), CPU)
    assert images.shape == (2, 3, 32, 32) and masks.shape == (2, 1, 32, 32)
    for place, row in enumerate([5, 0]):
        expected = torch.from_numpy(train_split.images[row]).permute(2, 0, 1) / 255
        torch.testing.assert_close(images[place], expected)
        assert np.array_equal(masks[place, 0], train_split.masks[row])


def test_a_split_that_fits_is_taken_to_the_gpu_whole_and_once(train_split, monkeypatch):
    size = train_split.images.nbytes + train_split.masks.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * size, 10 * size))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, **_: tensor)  # no GPU needed
    taken = resident(train_split, torch.device("cuda"))
    assert isinstance(taken.images, torch.Tensor) and isinstance(taken.masks, torch.Tensor)
    assert np.array_equal(taken.images, train_split.images)
    assert np.array_equal(taken.masks, train_split.masks)
    assert taken.ids == train_split.ids
    assert resident(taken, torch.device("cuda")) is taken
    assert resident(replace(train_split, frames=FRAMES), torch.device("cuda")).frames is FRAMES


def test_a_split_stays_where_it_is_without_a_gpu_or_room_on_it(train_split, monkeypatch):
    assert resident(train_split, CPU) is train_split
    size = train_split.images.nbytes + train_split.masks.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * size - 1, 10 * size))
    assert resident(train_split, torch.device("cuda")) is train_split


def test_a_part_has_the_frames_of_its_rows(train_split):
    rows = [6, 1]
    part = replace(train_split, frames=FRAMES).part(rows)
    assert torch.equal(part.frames.boxes, FRAMES.boxes[rows])
    assert torch.equal(part.frames.aspects, FRAMES.aspects[rows])
    assert np.array_equal(part.images, train_split.images[rows])
    assert part.ids == [train_split.ids[row] for row in rows]
    assert train_split.part(rows).frames is None
