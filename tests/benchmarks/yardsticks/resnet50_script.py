"""torchvision's ResNets in the loops of two well-known benchmarks, each as it is by default.

torchvision's reference training leaves memory and optimizer as they are; timm's benchmark is told
to use channels-last memory, and takes a fused optimizer here.
"""

from itertools import cycle, islice

import torch
from torch import nn
from torchvision import models

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.torch_loops import TO_TORCH, allow_tf32
from resnet_impls.torchvision_model import torch_name


def script(cell, parameters, images, labels):
    return {
        "torchvision style": loop(cell, parameters, images, labels, torch.contiguous_format, None),
        "timm style": loop(cell, parameters, images, labels, torch.channels_last, True),
    }


def loop(cell, parameters, images, labels, memory_format, fused):
    torch.backends.cudnn.benchmark = True  # which both set
    allow_tf32(False)  # one process has one way to say so
    model = models.get_model(cell.model).to(cell.device, memory_format=memory_format)
    state = model.state_dict()
    for name, value in zip(ARCHITECTURES[cell.model].parameters, parameters, strict=True):
        state[torch_name(name)].copy_(torch.from_numpy(value.transpose(TO_TORCH[value.ndim])))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    criterion = nn.CrossEntropyLoss()
    images = torch.from_numpy(images).to(cell.device).permute(0, 1, 4, 2, 3)
    labels = torch.from_numpy(labels).long().to(cell.device)
    laid = [x.contiguous(memory_format=memory_format) for x in images]
    batches = cycle(list(zip(laid, labels, strict=True)))

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
                logits = model(image)
        return logits.cpu().numpy()  # waits for the device

    return train, infer
