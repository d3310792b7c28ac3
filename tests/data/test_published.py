"""CIFAR-10, CIFAR-100 and SVHN as their authors publish them: small files of the real formats."""

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from bench.cells import Cell
from bench.data import images as data
from bench.data.datasets import ARRAYS, Dataset, load
from bench.data.images import cifar10, cifar100, svhn
from bench.data.published import PUBLISHED, unpickled
from bench.errors import UsageError
from bench.executables import Training
from bench.identity import checks, problem
from bench.worker import implementations
from bench.worker.measured import MeasuredCell
from resnet_impls.architecture import ARCHITECTURES

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


def python2_pickle(pixels: list[bytes], labels: list[int], name: bytes = b"labels") -> bytes:
    """What Python 2 wrote for `{"labels": […], "data": array of (N, 3072) bytes}`.

    The published files are such pickles; one that Python 3 writes has other strings and types.
    """
    values = b"".join(pixels)
    return (
        b"\x80\x02}(U" + bytes([len(name)]) + name + b"]("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01M" + len(labels).to_bytes(2, "little") + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + len(values).to_bytes(4, "little") + values
        + b"tbu."
    )  # fmt: skip


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tell(
    monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes], address: str = ""
) -> dict[str, bytes]:
    """Have the table know small files as those that were published; returns what is served."""
    known = PUBLISHED[name]
    served = files
    archive = known.archive
    if archive:
        served = {archive[0]: packed(known.folder, files)}
        archive = (archive[0], md5(served[archive[0]]))
    sums = {file: md5(content) for file, content in files.items()}
    told = replace(known, address=address or known.address, archive=archive, files=sums)
    monkeypatch.setitem(PUBLISHED, name, told)
    return served


def packed(folder: str, files: dict[str, bytes]) -> bytes:
    """A .tar.gz of these, and of what nobody would want to be unpacked."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in {f"{folder}/{n}": t for n, t in files.items()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        evil = tarfile.TarInfo("../../owned")
        evil.size = 1
        archive.addfile(evil, io.BytesIO(b"x"))
    return content.getvalue()


def cifar10_files() -> dict[str, bytes]:
    train = {
        f"data_batch_{number + 1}": python2_pickle([planes(number)], [label])
        for number, label in enumerate(TRAIN_LABELS)
    }
    return {**train, "test_batch": python2_pickle([planes(100), planes(101)], TEST_LABELS)}


def cifar100_files(train: int = 200, test: int = 100) -> dict[str, bytes]:
    """All hundred classes, whose images differ by their blue."""
    return {
        name: python2_pickle(
            [planes(k % 100) for k in range(count)], [k % 100 for k in range(count)], b"fine_labels"
        )
        for name, count in (("train", train), ("test", test))
    }


def svhn_files() -> dict[str, bytes]:
    found = {}
    for name, labels in (("train_32x32.mat", [10, 1, 9]), ("test_32x32.mat", [2, 10])):
        images = np.stack([image(label) for label in labels], axis=-1)  # (32, 32, 3, N)
        content = io.BytesIO()
        savemat(content, {"X": images, "y": np.array(labels, np.uint8)[:, None]})
        found[name] = content.getvalue()
    return found


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the Python version, whose checksums the table is told."""
    tell(monkeypatch, "cifar10", cifar10_files())
    written(tmp_path / "cifar-10-batches-py", cifar10_files())
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


@pytest.mark.parametrize("name", ["data_batch_4", "test_batch"])
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
    tell(monkeypatch, "cifar10", cifar10_files(), "http://127.0.0.1:9")
    with pytest.raises(UsageError) as error:
        cifar10(None)
    assert "could not be downloaded" in str(error.value)
    assert "--data-dir" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], tuple[str, list[str]]]]:
    """Serves files by HTTP: returns the address, and a list of what was asked for."""
    with ExitStack() as stack:

        def begin(files: dict[str, bytes]) -> tuple[str, list[str]]:
            asked: list[str] = []

            class Files(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    asked.append(self.path)
                    content = files.get(self.path.strip("/"), b"log in!")
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

                def log_message(self, format: str, *args: object) -> None:
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Files))
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            stack.callback(serving.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}", asked

        yield begin


def test_a_download_that_is_something_else_is_no_fault_of_data_dir(
    downloads: Path, serve: Callable[..., tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = serve({})
    tell(monkeypatch, "cifar10", cifar10_files(), address)
    with pytest.raises(UsageError) as error:
        cifar10(None)
    assert "could not be downloaded" in str(error.value)
    assert "None" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "files", "read"),
    [
        ("cifar10", cifar10_files(), cifar10),
        ("cifar100", cifar100_files(), cifar100),
        ("svhn", svhn_files(), svhn),
    ],
)
def test_a_dataset_is_downloaded_once_and_a_cut_file_again(
    name: str,
    files: dict[str, bytes],
    read: Callable[[Path | None], tuple[np.ndarray, ...]],
    downloads: Path,
    serve: Callable[..., tuple[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    served: dict[str, bytes] = {}
    address, asked = serve(served)
    served |= tell(monkeypatch, name, files, address)
    first = read(None)
    assert len(asked) == len(served)
    again = read(None)
    assert len(asked) == len(served)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    offline = read(_unpacked(tmp_path / "own", name, files))
    assert all(np.array_equal(one, other) for one, other in zip(first, offline, strict=True))
    (cached,) = downloads.rglob(next(iter(served)))
    cached.write_bytes(cached.read_bytes()[:100])
    read(None)
    assert len(asked) == len(served) + 1
    assert not list(tmp_path.rglob("owned"))


def _unpacked(place: Path, name: str, files: dict[str, bytes]) -> Path:
    written(place / PUBLISHED[name].folder, files)
    return place


def test_svhn_is_read_value_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, "svhn", svhn_files())
    train, labels, test, test_labels = svhn(written(tmp_path / "svhn", svhn_files()))
    np.testing.assert_array_equal(train, np.stack([image(10), image(1), image(9)]))
    np.testing.assert_array_equal(test, np.stack([image(2), image(10)]))
    assert labels.tolist() == [0, 1, 9]
    assert test_labels.tolist() == [2, 0]


def test_cifar100_is_read_value_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, "cifar100", cifar100_files())
    train, labels, test, _ = cifar100(_unpacked(tmp_path / "own", "cifar100", cifar100_files()))
    assert train.shape == (200, 32, 32, 3)
    np.testing.assert_array_equal(test[7], image(7))
    assert labels.tolist() == [*range(100), *range(100)]


@pytest.mark.parametrize(("name", "read"), [("cifar100", cifar100), ("svhn", svhn)])
def test_a_cut_file_is_refused_in_one_line(
    name: str,
    read: Callable[[Path], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = cifar100_files() if name == "cifar100" else svhn_files()
    tell(monkeypatch, name, files)
    cut = {file: content[:-1] for file, content in files.items()}
    with pytest.raises(UsageError, match=r"damaged or incomplete \(train.*: damaged\)") as error:
        read(_unpacked(tmp_path / "own", name, cut))
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match=r"\(train.*: missing\)"):
        read(tmp_path)


def test_a_hundred_classes_need_a_model_that_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(monkeypatch, "cifar100", cifar100_files())
    folder = _unpacked(tmp_path / "own", "cifar100", cifar100_files())
    with pytest.raises(UsageError, match=r"has 100 classes, and the model tells 10"):
        load("cifar100", image_size=32, classes=10, data_dir=folder, batch_size=8)


@pytest.mark.long
def test_a_hundred_classes_are_trained_tested_and_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ARCHITECTURES["resnet14-100"]
    tell(monkeypatch, "cifar100", cifar100_files())
    folder = _unpacked(tmp_path / "own", "cifar100", cifar100_files())
    images = load("cifar100", image_size=32, classes=100, data_dir=folder, batch_size=8)
    assert sorted(set(images.train_labels.tolist())) == list(range(100))
    for name in ARRAYS:
        np.save(tmp_path / f"{name}.npy", getattr(images, name))
    cell = Cell(
        *("torch_module", "torch", "eager", row.name, "train", "cpu", "fp32", 50, "sgd"),
        *("constant", None, "cifar100", 0, 5),
    )
    measured = MeasuredCell(cell, tmp_path)
    measured.build()
    measured.warm_up(2)
    measured.block(2)
    finished = measured.finish(None)
    assert len(finished.losses) == 5
    assert abs(finished.losses[0] - np.log(100)) < 2  # of a hundred classes, and not of ten
    posed = problem.pose(problem.small(row))
    assert posed.architecture.classes == 100
    training = Training("sgd")
    solution = problem.solve(posed, training)
    module = implementations.imported(cell.executable)
    build = partial(implementations.built, cell.executable, module, posed.architecture)
    found = checks.checks(build, posed, solution, training, "fp32")
    assert found
    assert all(check.passed for check in found), found


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_calls_something_is_not_read_whatever_its_checksum(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        unpickled(pickle.dumps({"data": Evil(tmp_path / "owned")}))
    assert not (tmp_path / "owned").exists()


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
