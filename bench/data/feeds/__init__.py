"""Input pipelines: one file each, `NAME_feed.py`, by the name that `--input` gives it.

Each ends with `feed(images, labels, draws, processors)`, which yields the batches that `draws`
describe, in their order, made by operators of its own on so many processors. A pipeline's threads
and processes stay in the worker's process group, so that they are suspended and end with it.
"""
