"""DTACSNet-CD: the cloud-detection network, exactly as published.

A U-Net on a MobileNetV2 encoder.  Module names follow
``segmentation_models_pytorch.Unet("mobilenet_v2")``, so that published
``state_dict`` files load without renaming.  Width, depth and taps: Sandler et
al. 2018, table 2 (encoder); Mateo-Garcia et al. 2023 (network).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

CLASSES: Final = ("clear", "thick cloud", "thin cloud", "cloud shadow")
"""Class index to name; index 0 is the only one that counts as clear."""

# (expansion, output channels, repeats, first stride): Sandler et al. 2018, table 2.
_ENCODER_PLAN: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM_CHANNELS: Final = 32
_BOTTLENECK_CHANNELS: Final = 1280
_TAPS: Final = (2, 4, 7, 14, 19)  # exclusive ends of the stages at 1/2, 1/4, 1/8, 1/16, 1/32
_TAP_CHANNELS: Final = (16, 24, 32, 96, _BOTTLENECK_CHANNELS)
_DECODER_CHANNELS: Final = (256, 128, 64, 32, 16)


class DtacsNet(nn.Module):
    """Four bands of reflectance in, four class logits a pixel out.

    Input ``(N, 4, H, W)`` float32 reflectance (0 to about 1, unitless), H and W
    multiples of 32; output ``(N, 4, H, W)`` float32 logits in the order of
    :data:`CLASSES`.
    """

    def __init__(self, bands: int = 4, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.encoder = _Encoder(bands)
        self.decoder = _Decoder()
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(_DECODER_CHANNELS[-1], classes, kernel_size=3, padding=1)
        )

    def forward(self, reflectance: Tensor) -> Tensor:
        """Logits of the four classes."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(reflectance)))
        return logits


class ContaminationHead(nn.Module):
    """A four-class network seen as clear against contaminated.

    The contaminated logit is the largest of the classes 1 to 3, so the sign of
    the difference equals the collapsed argmax of the four classes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, reflectance: Tensor) -> Tensor:
        """Logits ``(N, 2, H, W)``: clear, contaminated."""
        logits: Tensor = self.network(reflectance)
        return torch.cat((logits[:, :1], logits[:, 1:].amax(dim=1, keepdim=True)), dim=1)


class _Encoder(nn.Module):
    def __init__(self, bands: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn_relu6(bands, _STEM_CHANNELS, stride=2)]
        channels = _STEM_CHANNELS
        for expansion, width, repeats, first_stride in _ENCODER_PLAN:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                layers.append(_InvertedResidual(channels, width, stride, expansion))
                channels = width
        layers.append(_conv_bn_relu6(channels, _BOTTLENECK_CHANNELS, kernel=1))
        self.features = nn.Sequential(*layers)

    def forward(self, reflectance: Tensor) -> list[Tensor]:
        taps = []
        value = reflectance
        for index, layer in enumerate(self.features, start=1):
            value = layer(value)
            if index in _TAPS:
                taps.append(value)
        return taps


class _InvertedResidual(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv_bn_relu6(channels, hidden, kernel=1))
        layers += [
            _conv_bn_relu6(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
        ]
        self.conv = nn.Sequential(*layers)
        self.keeps_shape = stride == 1 and channels == width

    def forward(self, value: Tensor) -> Tensor:
        change: Tensor = self.conv(value)
        return value + change if self.keeps_shape else change


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        skips = (*reversed(_TAP_CHANNELS[:-1]), 0)
        inputs = (_BOTTLENECK_CHANNELS, *_DECODER_CHANNELS[:-1])
        self.blocks = nn.ModuleList(
            _DecoderBlock(below, skip, width)
            for below, skip, width in zip(inputs, skips, _DECODER_CHANNELS, strict=True)
        )

    def forward(self, taps: list[Tensor]) -> Tensor:
        value = taps[-1]
        skips: list[Tensor | None] = [*reversed(taps[:-1]), None]
        for block, skip in zip(self.blocks, skips, strict=True):
            value = block(value, skip)
        return value


class _DecoderBlock(nn.Module):
    def __init__(self, below: int, skip: int, width: int) -> None:
        super().__init__()
        self.conv1 = _conv_bn_relu(below + skip, width)
        self.conv2 = _conv_bn_relu(width, width)

    def forward(self, below: Tensor, skip: Tensor | None) -> Tensor:
        value = nn.functional.interpolate(below, scale_factor=2.0, mode="nearest")
        if skip is not None:
            value = torch.cat((value, skip), dim=1)
        refined: Tensor = self.conv2(self.conv1(value))
        return refined


def _conv_bn_relu6(
    channels: int, width: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


def _conv_bn_relu(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
