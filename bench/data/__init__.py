"""Datasets as arrays, their augmentation, and the input pipelines that feed them."""
