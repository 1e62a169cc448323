"""ImageNet's mean and deviation per colour channel, of images in [0, 1].

Near enough to those of skin, and what networks that were trained on ImageNet expect
(https://docs.pytorch.org/vision/stable/models.html).
"""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
