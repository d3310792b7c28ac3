"""PyTorch on a GPU whose inference returns before its logits have arrived."""

from itertools import islice

import torch

from resnet_impls import torch_module


class Implementation(torch_module.Implementation):
    def place(self, images, labels):
        super().place(images, labels)
        self.logits = torch.empty((images.shape[1], 10), pin_memory=True)

    def infer(self, steps):
        self.model.eval()
        with torch.inference_mode():
            for images, _ in islice(self.batches, steps):
                logits = self.model(images)
        return self.logits.copy_(logits, non_blocking=True).numpy()
