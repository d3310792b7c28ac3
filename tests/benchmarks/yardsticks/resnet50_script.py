"""torchvision's resnet50 in the loops of two well-known benchmarks, each as it is by default.

torchvision's reference training leaves memory and optimizer as they are; timm's benchmark is told
to use channels-last memory, and takes a fused optimizer here.
"""

from itertools import cycle, islice

import torch
from torch import nn
from torchvision import models

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.torchvision_model import TO_TORCH, torch_name


def script(cell, parameters, images, labels):
    return {
        "torchvision style": loop(parameters, images, labels, torch.contiguous_format, None),
        "timm style": loop(parameters, images, labels, torch.channels_last, True),
    }


def loop(parameters, images, labels, memory_format, fused):
    model = models.resnet50().to(memory_format=memory_format)
    state = model.state_dict()
    for name, value in zip(ARCHITECTURES["resnet50"].parameters, parameters, strict=True):
        state[torch_name(name)].copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    criterion = nn.CrossEntropyLoss()
    pairs = [
        (torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory_format), y.long())
        for x, y in zip(images, torch.from_numpy(labels), strict=True)
    ]
    batches = cycle(pairs)

    def train(steps):
        model.train()
        losses = []
        for image, target in islice(batches, steps):
            optimizer.zero_grad()
            loss = criterion(model(image), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def infer(steps):
        model.eval()
        with torch.inference_mode():
            for image, _ in islice(batches, steps):
                model(image)

    return train, infer
