"""The two ImageNet networks in plain PyTorch, with the parameter names of their weight files.

`scales(x)` gives the features at strides 2 to 32.
"""

import torch

nn, F = torch.nn, torch.nn.functional


class Block(nn.Module):
    def __init__(self, before, features, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = nn.Identity()
        if before != features:
            conv = nn.Conv2d(before, features, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(features))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.fc = nn.Linear(512, 1000)

    def scales(self, x):
        maps = [F.relu(self.bn1(self.conv1(x)))]
        maps.append(self.layer1(F.max_pool2d(maps[-1], 3, 2, 1)))
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps


class SameConv(nn.Conv2d):
    """Padding as TensorFlow's SAME: the odd row or column goes to the end."""

    def forward(self, x):
        pads = []
        for size in (x.shape[3], x.shape[2]):
            outputs = -(-size // self.stride[0])
            total = max((outputs - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _norm(features):
    return nn.BatchNorm2d(features, eps=1e-3)


class MBConv(nn.Module):
    def __init__(self, before, size, stride, expansion, features):
        super().__init__()
        inner = before * expansion
        if expansion != 1:
            self._expand_conv = SameConv(before, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, size, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv(inner, features, 1, bias=False)
        self._bn2 = _norm(features)

    def forward(self, x):
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    # Repeats, kernel, stride of the first, expansion, output channels; after the published table.
    STAGES = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), _norm(32)
        blocks, before = [], 32
        for repeats, size, stride, expansion, features in self.STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(MBConv(before, size, step, expansion, features))
                before = features
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def scales(self, x):
        maps = {}  # by height: the last block at each size counts
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
            maps[x.shape[2]] = x
        return list(maps.values())


def features(network, x):
    """Features of an RGB image `n h w 3`, already normalised: arrays `n h w f`."""
    with torch.no_grad():
        maps = network.eval().scales(torch.tensor(x).permute(0, 3, 1, 2))
    return [m.permute(0, 2, 3, 1).numpy() for m in maps]
