"""torchvision's reference for segmentation: LR-ASPP with MobileNetV3, as its references/ trains it.

Shorter side 260 to 1040 pixels at random, mirrored, crops of 480; batches of 4, SGD with 0.01 and
momentum 0.9, weight decay 1e-6, falling as a polynomial over thirty epochs; validation each epoch.
"""

from urllib.error import URLError

import torch
from race import Race
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.transforms import v2

BASE, CROP, BATCH, EPOCHS = 520, 480, 4, 30
MEAN, STD, IGNORED = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255

to_float = [v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)]
to_float += [v2.Normalize(MEAN, STD)]
learning = v2.Compose(
    [
        v2.RandomResize(BASE // 2, BASE * 2, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomCrop(CROP, pad_if_needed=True, fill={tv_tensors.Mask: IGNORED, "others": 0}),
        *to_float,
    ]
)
scoring = v2.Compose([v2.Resize(BASE, antialias=True), *to_float])


class Lesions(Dataset):
    def __init__(self, pairs, transform):
        self.pairs, self.transform = pairs, transform

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, mask = self.pairs[index]
        mask = tv_tensors.Mask(decode_image(mask, ImageReadMode.GRAY)[0] // 255)
        image, mask = self.transform(read(image), mask)
        return image, mask.long()


def read(path):
    return tv_tensors.Image(decode_image(path, ImageReadMode.RGB))


def network():
    try:
        weights = "IMAGENET1K_V1"
        return lraspp_mobilenet_v3_large(num_classes=2, weights_backbone=weights)
    except (URLError, RuntimeError):
        race.notes.append("from scratch: ImageNet's weights could not be fetched")
        return lraspp_mobilenet_v3_large(num_classes=2, weights_backbone=None)


race = Race()
train = DataLoader(
    Lesions(race.pairs("train"), learning),
    BATCH,
    shuffle=True,
    num_workers=race.workers,
    drop_last=True,
)
validation = DataLoader(Lesions(race.pairs("validation"), scoring), 1, num_workers=race.workers)
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)
scheduler = torch.optim.lr_scheduler.PolynomialLR(
    optimizer, total_iters=EPOCHS * len(train), power=0.9
)

going = True
while going:
    model.train()
    for images, masks in train:
        loss = cross_entropy(model(images)["out"], masks, ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if not (going := race.goes_on(model, len(images))):
            break
    else:
        model.eval()
        with torch.no_grad():
            for images, _ in validation:
                model(images)["out"].argmax(1)

race.end(
    model,
    lambda path: scoring(read(path)).as_subclass(torch.Tensor),
    lambda images: model(images)["out"].softmax(1)[:, 1:],
    batch=1,
)
