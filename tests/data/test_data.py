"""Datasets as arrays, from the embedded digits to what `prepare` leaves for the workers."""

import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.datasets import ARRAYS, Dataset, digits, images_tested, load
from bench.data.sharing import open_folder, prepare, shared_data
from bench.errors import UsageError
from builders import record

DIGITS: dict[str, Any] = {"image_size": 32, "classes": 10, "data_dir": None, "batch_size": 64}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load("digits", **DIGITS)


@pytest.fixture
def numbered() -> Dataset:
    """Ten training images whose one value is their label: 0 to 9."""
    labels = np.arange(10, dtype=np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (10, 1, 1, 3)).astype(np.float32)
    return Dataset(images, labels, images[:2], labels[:2])


def test_digits_are_images_of_32_by_32_with_1437_to_train_and_360_to_test(
    dataset: Dataset,
) -> None:
    assert dataset.train_images.shape == (1437, 32, 32, 3)
    assert dataset.test_images.shape == (360, 32, 32, 3)
    assert images_tested(record().cell) == 360
    assert dataset.train_images.dtype == dataset.test_images.dtype == np.float32
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32


def test_every_digit_is_either_trained_on_or_tested() -> None:
    train_images, train_labels, test_images, test_labels = digits()
    images = np.concatenate([train_images, test_images])
    assert (images == images[..., :1]).all()  # grey
    found = np.column_stack([images[..., 0].reshape(-1, 64), np.append(train_labels, test_labels)])
    assert len(np.unique(found, axis=0)) == 1797
    # as the file's own description counts them, digit by digit
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(found[:, 64].astype(int)).tolist() == counts
    first = [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]  # of the published file, a zero
    assert (found[:, :16] == first).all(axis=1).any()
    assert (found[:, :64].min(), found[:, :64].max()) == (0, 16)


def test_every_class_is_in_both_parts_of_the_split(dataset: Dataset) -> None:
    assert set(dataset.train_labels) == set(dataset.test_labels) == set(range(10))


def test_training_images_are_standardised(dataset: Dataset) -> None:
    assert dataset.train_images.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert dataset.train_images.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_test_images_are_scaled_as_the_training_images_are(dataset: Dataset) -> None:
    train, _, test, _ = digits()
    expected = (test - train.mean()) / train.std()
    np.testing.assert_allclose(dataset.test_images[:, ::4, ::4], expected, rtol=1e-6)


def test_images_are_enlarged_by_whole_pixels(dataset: Dataset) -> None:
    small = dataset.train_images[:, ::4, ::4]
    assert small.shape[1:3] == (8, 8)
    assert np.array_equal(np.kron(small, np.ones((1, 4, 4, 1))), dataset.train_images)


def test_batches_are_the_same_for_the_same_seed(numbered: Dataset) -> None:
    _, once = numbered.batches(2, 5, seed=3)
    _, again = numbered.batches(2, 5, seed=3)
    _, other = numbered.batches(2, 5, seed=4)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_each_image_keeps_its_label(numbered: Dataset) -> None:
    images, labels = numbered.batches(2, 5, seed=0)
    assert np.array_equal(images[..., 0, 0, 0], labels)


@pytest.mark.parametrize(
    ("batch_size", "steps", "count"), [(3, 100, 3), (3, 2, 2), (5, 2, 2), (10, 9, 1)]
)
def test_there_are_as_many_batches_as_steps_or_as_an_epoch_fills(
    numbered: Dataset, batch_size: int, steps: int, count: int
) -> None:
    images, labels = numbered.batches(batch_size, steps, seed=0)
    assert images.shape == (count, batch_size, 1, 1, 3)
    assert labels.shape == (count, batch_size)


def test_no_image_is_in_an_epoch_twice(numbered: Dataset) -> None:
    _, labels = numbered.batches(3, 100, seed=0)
    assert len(set(labels.flat)) == 9


def test_fewer_steps_take_the_first_batches_of_the_same_epoch(numbered: Dataset) -> None:
    _, epoch = numbered.batches(2, 100, seed=0)
    _, first = numbered.batches(2, 3, seed=0)
    assert np.array_equal(first, epoch[:3])


@pytest.mark.parametrize(("image_size", "classes"), [(32, 10), (224, 1000)])
def test_synthetic_images_fit_the_network(image_size: int, classes: int) -> None:
    choices = DIGITS | {"image_size": image_size, "classes": classes}
    made = load("synthetic", **choices)
    assert made.train_images.shape[1:] == made.test_images.shape[1:] == (image_size, image_size, 3)
    assert made.train_images.dtype == np.float32
    model = "resnet14" if image_size == 32 else "resnet50"
    assert images_tested(record(dataset="synthetic", model=model).cell) == len(made.test_labels)
    assert made.train_labels.min() >= 0
    assert 0.9 * classes - 1 <= made.train_labels.max() < classes


def test_a_batch_larger_than_the_data_names_both_sizes() -> None:
    with pytest.raises(UsageError, match=r"--batch-size 1438 .* 1437 training images of digits"):
        load("digits", **DIGITS | {"batch_size": 1438})


def test_a_batch_as_large_as_the_data_is_one_batch() -> None:
    images, _ = load("digits", **DIGITS | {"batch_size": 1437}).batches(1437, 100, seed=0)
    assert images.shape[:2] == (1, 1437)


def test_prepare_leaves_the_four_arrays_that_load_reads(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    prepare(folder, name="digits", **DIGITS)
    assert {file.name for file in folder.iterdir()} == {f"{name}.npy" for name in ARRAYS}
    prepared = open_folder(folder)
    for name in ARRAYS:
        mapped, loaded = getattr(prepared, name), getattr(dataset, name)
        assert isinstance(mapped, np.memmap)
        assert mapped.dtype == loaded.dtype
        assert np.array_equal(mapped, loaded)


def test_prepare_reads_the_folder_that_data_dir_names(tmp_path: Path) -> None:
    choices = DIGITS | {"data_dir": tmp_path / "nowhere"}
    with pytest.raises(UsageError, match=r"--data-dir .*/nowhere: there is no such folder"):
        prepare(tmp_path / "arrays", name="cifar10", **choices)


def test_prepare_hands_on_the_error_of_its_process(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch-size 1438 is larger than the 1437"):
        prepare(tmp_path / "digits", name="digits", **DIGITS | {"batch_size": 1438})


def test_a_crash_in_the_process_that_reads_is_told_by_its_code(tmp_path: Path) -> None:
    choices = DIGITS | {"classes": 0}
    with pytest.raises(UsageError, match="reading synthetic failed with code 1"):
        prepare(tmp_path / "synthetic", name="synthetic", **choices)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary files go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_behind(temporary: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # a file may be no larger
    try:
        with (
            pytest.raises(UsageError, match=r"cannot be written .*TMPDIR"),
            shared_data([record().cell], None),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(temporary.iterdir()) == []


def test_shared_data_leaves_nothing_behind(temporary: Path) -> None:
    cell = record().cell
    with shared_data([cell], None) as folders:
        assert temporary in folders[cell].parents
    assert list(temporary.iterdir()) == []


def test_shared_data_that_cannot_be_had_leaves_nothing_behind(temporary: Path) -> None:
    with pytest.raises(UsageError), shared_data([record(batch_size=1438).cell], None):
        pass
    assert list(temporary.iterdir()) == []
