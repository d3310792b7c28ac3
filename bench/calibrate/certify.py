"""Certificates: obtained once per distinct executable and environment, then remembered.

`bench.certificate.identity` says what is checked. Here is decided for which cells, by a fresh
process for each half, and what of it may be taken from the cache.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import resnet_impls
from bench import processes as aside
from bench.cells import Cell, implementation, installed, obstacle
from bench.errors import UsageError
from bench.files import CACHE, keep, writable
from bench.machine import facts as machine
from bench.parent.child import Child, Failure
from bench.worker.environment import libraries_environment
from resnet_impls.catalogue import CATALOGUE, Backend

IMPORTS = re.compile(rb"^from resnet_impls\.(\w+) import", re.MULTILINE)


def certify(
    cells: Iterable[Cell], *, timeout_s: float, remembered: bool = True
) -> Iterator[tuple[Cell, Certificate | None]]:
    """The certificate of each cell's executable, once each; None: it starts to be worked out.

    `remembered` False works all of them out anew. Executables that cannot run here have none.
    """
    fresh: set[Path] = set()  # of this call; precisions share the float64 half
    for subject in dict.fromkeys(executable(cell) for cell in cells if obstacle(cell) is None):
        exact = _backend(subject).exact
        parts = {
            part: CACHE / "certificates" / f"{_key(part)}.json"
            for part in (replace(subject, precision=exact), subject)
        }
        known = [file for file in parts.values() if file in fresh or (remembered and file.exists())]
        if len(known) < len(parts):
            yield subject, None
        halves = {}
        for part, file in parts.items():
            if file in known:
                halves[part.precision] = _read(json.loads(file.read_text(encoding="utf-8")))
                continue
            halves[part.precision] = half = _half(part, timeout_s)
            if not half.failure:  # the next attempt may fare better
                keep(file, json.dumps(asdict(half)))
                fresh.add(file)
        instead = exact if exact != "fp64" else None
        semantics = replace(halves[exact], instead=instead)
        yield subject, Certificate(semantics, halves[subject.precision])


def _read(half: dict[str, Any]) -> Half:
    checks = tuple((name, error, limit) for name, error, limit in half["checks"])
    return Half(checks, half["failure"])


def _half(subject: Cell, timeout_s: float) -> Half:
    """Have a fresh process compare `subject` with the reference."""
    optimizer, recipe = subject.optimizer or "adam", subject.recipe or "constant"
    problem_file = _problem(subject.model, optimizer, recipe)
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder:
        child = Child(subject, None, Path(folder) / "log")
        try:
            answer = child.ask("certify", timeout_s, problem_file=str(problem_file))
        except Failure as failure:
            return Half(failure=f"{failure.status}: {failure.reason}")
        finally:
            child.end()
    return Half(tuple((name, error, limit) for name, error, limit in answer["checks"]))


def _problem(model: str, optimizer: str, recipe: str) -> Path:
    """The file with the problem and the reference's solution, worked out where there is none."""
    file = CACHE / "problems" / f"{model}-{optimizer}-{recipe}-{_sources()[:16]}.npz"
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=writable(file.parent)) as folder:
            fresh = Path(folder) / file.name
            if aside.run("bench.certificate.problem", model, optimizer, recipe, str(fresh)):
                raise UsageError(f"the reference of {model} with {optimizer} could not be computed")
            fresh.replace(file)
    return file


def _sources(files: Iterable[Path] = ()) -> str:
    """Fingerprint of `files`, the reference, what both import of `resnet_impls`, and the checks."""
    from bench import recipes  # here, since NumPy is slow to import
    from bench.identity import checks as identity
    from bench.identity import inference, problem
    from bench.worker import workloads

    digest = hashlib.sha256()
    reference = _folder() / "numpy_reference.py"
    names = [name for file in (*files, reference) for name in IMPORTS.findall(file.read_bytes())]
    imported = [_folder() / f"{name.decode()}.py" for name in dict.fromkeys(names)]
    checks = [Path(str(m.__file__)) for m in (problem, identity, inference, recipes, workloads)]
    for path in (*files, *imported, reference, *checks):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _folder() -> Path:
    return Path(next(iter(resnet_impls.__path__)))


def _key(subject: Cell) -> str:
    """Fingerprint of all that a certificate depends on."""
    row, backend = implementation(subject.implementation), _backend(subject)
    packages: Iterable[str] = (*backend.packages, "numpy")
    sources = [_folder() / f"{row.module.rpartition('.')[2]}.py"]
    if row.module.endswith(".py"):  # it may import any framework, and what lies beside it or here
        folders = (Path(row.module).parent, _folder())
        sources = [file for folder in folders for file in sorted(folder.glob("*.py"))]
        backends = [known for each in CATALOGUE.values() for known in each.backends]
        packages = {name for known in backends for name in known.packages}
    facts = machine.facts()
    depends = {
        "subject": subject.as_dict(),
        "sources": _sources(sources),
        "versions": {name: installed(name) for name in sorted({*packages, "jaxlib", "numpy"})},
        "environment": libraries_environment(subject),
        "python": facts["python"],
        "processor": machine.processor(facts, subject.device),
        "driver": [gpu["driver"] for gpu in facts["gpus"]],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def _backend(subject: Cell) -> Backend:
    row = implementation(subject.implementation)
    return next(backend for backend in row.backends if backend.name == subject.backend)
