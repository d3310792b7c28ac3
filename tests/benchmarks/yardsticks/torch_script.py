"""PyTorch: a module of its own, in-place sums, the loss compiled with the network."""

from itertools import cycle, islice

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from resnet_impls.torch_loops import allow_tf32

TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride > 1:
            self.conv3 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.stride = stride

    def forward(self, x):
        y = F.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.stride == 1 else self.bn3(self.conv3(x))
        return F.relu_(y)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        widths = ((16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
        self.blocks = nn.Sequential(*(Block(*width) for width in widths))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu_(self.bn(self.conv(x))))
        return self.head(x.mean((2, 3)))


def script(cell, parameters, images, labels):
    torch.backends.cudnn.benchmark = True
    allow_tf32(False)  # one process has one way to say so
    network = Network().to(cell.device, memory_format=torch.channels_last)
    with torch.no_grad():
        for tensor, value in zip(network.parameters(), parameters, strict=True):
            tensor.copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def loss_of(x, y):
        return F.cross_entropy(network(x), y)

    forward = network
    if cell.mode != "eager":
        mode = None if cell.mode == "compiled" else cell.mode
        loss_of, forward = torch.compile(loss_of, mode=mode), torch.compile(network, mode=mode)
    images, labels = torch.from_numpy(images).clone(), torch.from_numpy(labels).long()
    images, labels = images.to(cell.device).permute(0, 1, 4, 2, 3), labels.to(cell.device)
    pairs = list(zip(images, labels, strict=True))
    batches = cycle(pairs)

    def train(steps):
        network.train()
        losses = []
        for x, y in islice(batches, steps):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(x, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach().clone())  # CUDA graphs write over it
        return torch.stack(losses).cpu().numpy()

    def infer(steps):
        network.eval()
        with torch.inference_mode():
            for x, _ in islice(batches, steps):
                logits = forward(x)
        return logits.cpu().numpy()  # waits for the device

    return train, infer
