"""Scripts for resnet14 as one writes them by hand for speed, one file a framework.

Each has `script(mode, parameters, images, labels)`: initial parameters in canonical order, batches
(K, B, H, W, 3) and (K, B) -> `train(steps)`, which returns losses (steps,), and `infer(steps)`.
"""
