"""The plainest PyTorch training script there is: the instrument's own cost is measured by it.

Usage: `python bare_loop.py FOLDER DEVICE`, where FOLDER holds the arrays of a dataset. For every
number of steps on a line of standard input it trains so many steps and prints the seconds that they
took.
"""

import sys
from itertools import cycle
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.torch_module import ResNet

folder, device = Path(sys.argv[1]), sys.argv[2]
torch.backends.cudnn.benchmark = True
images = torch.from_numpy(np.load(folder / "train_images.npy")).permute(0, 3, 1, 2)
labels = torch.from_numpy(np.load(folder / "train_labels.npy")).long()
batches = cycle(
    [
        (x.contiguous(memory_format=torch.channels_last).to(device), y.to(device))
        for x, y in zip(images.split(64)[:22], labels.split(64)[:22], strict=True)
    ]
)
model = ResNet(ARCHITECTURES["resnet14"]).to(device, memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
model.train()

for line in sys.stdin:
    start = perf_counter()
    for _ in range(int(line)):
        x, y = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    loss.item()
    print(perf_counter() - start, flush=True)
