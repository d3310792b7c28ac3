"""CIFAR-10 in both versions that its author publishes, as small files of the real formats."""

import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from bench.data import datasets as data
from bench.data.datasets import Dataset, cifar10, load
from bench.errors import UsageError

ROWS, COLUMNS = np.indices((32, 32), dtype=np.uint8)
TRAIN_LABELS = [3, 9, 0, 1, 7]  # one image in each of the five training files
TEST_LABELS = [2, 8]


def planes(number: int) -> bytes:
    """Image `number` as CIFAR-10 stores it: all reds, all greens, all blues, row by row."""
    return ROWS.tobytes() + COLUMNS.tobytes() + bytes([number]) * 1024


def image(number: int) -> np.ndarray:
    """The same image as the network sees it: rows, columns, channels."""
    return np.stack([ROWS, COLUMNS, np.full_like(ROWS, number)], axis=-1)


def load_cifar10(folder: Path | None) -> Dataset:
    return load("cifar10", image_size=32, classes=10, data_dir=folder, batch_size=1)


def check_values(dataset: Dataset) -> None:
    train = np.stack([image(number) for number in range(5)])
    test = np.stack([image(100), image(101)])
    mean, deviation = train.mean(), train.std()
    np.testing.assert_allclose(dataset.train_images, (train - mean) / deviation, atol=1e-6)
    np.testing.assert_allclose(dataset.test_images, (test - mean) / deviation, atol=1e-6)
    assert dataset.train_labels.tolist() == TRAIN_LABELS
    assert dataset.test_labels.tolist() == TEST_LABELS


@pytest.fixture
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the binary version, whose files are said to hold so few images."""
    monkeypatch.setattr(data, "CIFAR10_TRAIN", dict.fromkeys(data.CIFAR10_TRAIN, 1))
    monkeypatch.setattr(data, "CIFAR10_TEST", dict.fromkeys(data.CIFAR10_TEST, 2))
    for number, label in enumerate(TRAIN_LABELS):
        (tmp_path / f"data_batch_{number + 1}.bin").write_bytes(bytes([label]) + planes(number))
    test = [bytes([label]) + planes(100 + k) for k, label in enumerate(TEST_LABELS)]
    (tmp_path / "test_batch.bin").write_bytes(b"".join(test))
    return tmp_path


def python2_pickle(pixels: list[bytes], labels: list[int]) -> bytes:
    """What Python 2 wrote for `{"labels": […], "data": array of (N, 3072) bytes}`.

    The published files are such pickles; one that Python 3 writes has other strings and types.
    """
    values = b"".join(pixels)
    return (
        b"\x80\x02}(U\x06labels]("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K" + bytes([len(labels)]) + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + len(values).to_bytes(4, "little") + values
        + b"tbu."
    )  # fmt: skip


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the Python version, whose checksums torchvision is told."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name: str, content: bytes) -> list[str]:
        (folder / name).write_bytes(content)
        return [name, hashlib.md5(content).hexdigest()]

    train = [
        write(f"data_batch_{number + 1}", python2_pickle([planes(number)], [label]))
        for number, label in enumerate(TRAIN_LABELS)
    ]
    test = write("test_batch", python2_pickle([planes(100), planes(101)], TEST_LABELS))
    names, md5 = write("batches.meta", b"\x80\x02}U\x0blabel_names](U\x08airplanees.")
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", [test])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": names, "key": "label_names", "md5": md5})
    return tmp_path


def test_binary_version_is_read_value_by_value(binary: Path) -> None:
    check_values(load_cifar10(binary))


def test_binary_version_is_found_in_the_folder_that_its_archive_makes(binary: Path) -> None:
    folder = binary / "cifar-10-batches-bin"
    folder.mkdir()
    for file in binary.glob("*.bin"):
        file.rename(folder / file.name)
    check_values(load_cifar10(binary))


def test_python_version_is_read_value_by_value(python: Path) -> None:
    check_values(load_cifar10(python))


def test_images_for_a_larger_network_are_enlarged_by_whole_pixels(binary: Path) -> None:
    large = load("cifar10", image_size=224, classes=1000, data_dir=binary, batch_size=1)
    assert large.test_images.shape == (2, 224, 224, 3)
    np.testing.assert_array_equal(
        large.test_images[:, 3::7, 3::7], load_cifar10(binary).test_images
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"",
        lambda content: b"\x0a" + content[1:],  # a label of 10
    ],
    ids=["a byte short", "a byte long", "empty", "label 10"],
)
@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_damaged_binary_file_is_named(
    binary: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file = binary / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UsageError, match=rf"{name} is damaged"):
        cifar10(binary)


@pytest.mark.parametrize("name", ["data_batch_3.bin", "data_batch_5.bin", "test_batch.bin"])
def test_a_missing_binary_file_is_named(binary: Path, name: str) -> None:
    (binary / name).unlink()
    with pytest.raises(UsageError, match=name):
        cifar10(binary)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data-dir .*/nowhere: there is no such folder"):
        cifar10(tmp_path / "nowhere")


def test_an_empty_folder_is_told_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds neither cifar-10-batches-py nor"):
        cifar10(tmp_path)


def test_one_damaged_byte_of_the_python_version_is_noticed(python: Path) -> None:
    file = python / "cifar-10-batches-py" / "data_batch_2"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(UsageError, match="cifar-10-batches-py is damaged or incomplete"):
        cifar10(python)


@pytest.mark.parametrize("name", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_missing_python_file_is_noticed(python: Path, name: str) -> None:
    (python / "cifar-10-batches-py" / name).unlink()
    with pytest.raises(UsageError, match="cifar-10-batches-py is damaged or incomplete"):
        cifar10(python)


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


def test_a_download_that_fails_says_how_to_do_without(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(UsageError) as error:
        cifar10(None)
    assert "could not be downloaded" in str(error.value)
    assert "--data-dir" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def wrong_server() -> Iterator[str]:
    """The address of a server that answers every request with a page of its own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"log in!")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        server.shutdown()
        serving.join()


def test_a_download_that_is_something_else_is_no_fault_of_data_dir(
    downloads: Path, wrong_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", wrong_server)
    with pytest.raises(UsageError) as error:
        cifar10(None)
    assert "could not be downloaded" in str(error.value)
    assert "None" not in str(error.value)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_is_not_the_published_one_is_not_loaded(tmp_path: Path) -> None:
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (batches / name).write_bytes(pickle.dumps(Evil(tmp_path / "owned")))
    with pytest.raises(UsageError, match="cifar-10-batches-py is damaged or incomplete"):
        cifar10(tmp_path)
    assert not (tmp_path / "owned").exists()
    pickle.loads((batches / "test_batch").read_bytes())
    assert (tmp_path / "owned").exists()  # it would have


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_binary_file_that_was_cut_between_images_is_refused(
    binary: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for files in ("CIFAR10_TRAIN", "CIFAR10_TEST"):
        more = {file: count + 1 for file, count in getattr(data, files).items()}
        monkeypatch.setattr(
            data, files, more | {each: more[each] - 1 for each in more if each != name}
        )
    with pytest.raises(UsageError, match=rf"{name} is damaged: it has [0-9,]+ bytes"):
        cifar10(binary)
