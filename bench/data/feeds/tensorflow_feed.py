"""TensorFlow's own: a `tf.data.Dataset` that is mapped in parallel, batched and prefetched."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from bench.data.augmentation import SHIFT, Batch, Draw


def feed(
    images: np.ndarray, labels: np.ndarray, draws: Iterator[Draw], processors: int
) -> Iterator[Batch]:
    """The batches of `draws`; tf.data itself chooses how much it does at once, by up to
    `processors` threads.

    It begins when the first batch is taken: by then an implementation in TensorFlow has chosen
    its devices.
    """
    with suppress(RuntimeError):  # of others TensorFlow is to leave the GPU alone
        tf.config.set_visible_devices([], "GPU")
    first = next(draws)
    batch_size, waiting = len(first.index), chain([first], draws)
    size, framed = images.shape[1], images.shape[1] + 2 * SHIFT
    with tf.device("CPU"):
        pixels, classes = tf.constant(images), tf.constant(labels)

    def following() -> tuple[np.ndarray, ...]:
        draw = next(waiting)
        return draw.index, draw.corners, draw.mirrored

    def augment(index: Tensor, corner: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        image = tf.image.pad_to_bounding_box(pixels[index], SHIFT, SHIFT, framed, framed)
        image = tf.slice(image, [corner[0], corner[1], 0], [size, size, 3])
        image = tf.cond(mirrored, lambda: tf.image.flip_left_right(image), lambda: image)
        return image, classes[index]

    def drawn(_: Tensor) -> tuple[Tensor, ...]:
        # not Dataset.from_generator: that has glibc return freed memory in the whole process
        index, corners, mirrored = tf.numpy_function(following, [], (tf.int64, tf.int64, tf.bool))
        return (
            tf.ensure_shape(index, (batch_size,)),
            tf.ensure_shape(corners, (batch_size, 2)),
            tf.ensure_shape(mirrored, (batch_size,)),
        )

    options = tf.data.Options()
    options.threading.private_threadpool_size = processors
    dataset = (
        tf.data.Dataset.counter()
        .map(drawn)
        .unbatch()
        .map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )
    for batch, answers in dataset:
        yield batch.numpy(), answers.numpy()
