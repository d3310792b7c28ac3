"""Certificates: obtained once per distinct executable and environment, then remembered.

`bench.identity` says what is checked. This decides for which executables, by a fresh process for
each half, and which halves the cache holds already.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bench
import resnet_impls
from bench import cache, processes
from bench.calibrate.dependencies import Sources, fingerprint, module_file, sources, versions
from bench.cells import Cell
from bench.errors import UsageError
from bench.executables import Executable, backend, exact_precision
from bench.executables import module as module_of
from bench.identity.certificate import Certificate, Half
from bench.machine.facts import this_machine
from bench.obstacles import obstacle
from bench.parent.at_once import answers
from bench.parent.child import Failure
from bench.temporary import TemporaryFolder
from bench.validation import plain
from bench.worker.environment import Environment
from bench.worker.protocol import Certify
from resnet_impls.catalogue import CATALOGUE

# OpenBLAS' threads spin between the many small products of the reference, which takes twice the
# time; the numbers are the same
SLEEPY = {"OPENBLAS_THREAD_TIMEOUT": "4"}  # as a power of two, in cycles


def certified(
    cells: Iterable[Cell], timeout_s: float, say: Callable[[str], None]
) -> dict[Executable, Certificate]:
    """The certificates of all executables among the cells that can run here.

    `say` gets a line for each that was not known, and for each that fails.
    """
    executables = list(dict.fromkeys(cell.executable for cell in cells if obstacle(cell) is None))
    wanted, _ = missing(executables)
    if wanted:
        say(f"certifying {len(executables)} executables, {len(wanted)} halves to work out")
    certificates = {}
    for executable, certificate in certify(executables, timeout_s=timeout_s):
        certificates[executable] = certificate
        if {executable, _exact(executable)} & set(wanted):
            told = "certified" if certificate.passed else "NOT certified"
            say(f"{told} {len(certificates)} of {len(executables)}: {executable.name}")
        for half in (certificate.float64, certificate.timed):
            if not half.passed:
                say(f"not the reference's function: {executable.name}: {half.verdict}")
    return {executable: certificates[executable] for executable in executables}


def certify(
    executables: Iterable[Executable], *, timeout_s: float, remembered: bool = True
) -> Iterator[tuple[Executable, Certificate]]:
    """The certificate of each executable that can run here, once each, as it gets ready.

    Halves that the cache does not hold are worked out side by side, each by a process of its own:
    nothing is timed. `remembered` False works all of them out anew. Closing the iterator, or an
    exception in it, ends all processes; what they had found by then is kept.
    """
    checks = sources([module_file(bench, "worker", "__main__")])
    able = [each for each in dict.fromkeys(executables) if obstacle(each) is None]
    names = {part: _entry(part, checks) for part in halves(able)}
    known = {part: half for part, name in names.items() if remembered and (half := _known(name))}
    left = dict.fromkeys(able)

    def ready() -> Iterator[tuple[Executable, Certificate]]:
        for each in [each for each in left if {each, _exact(each)} <= known.keys()]:
            del left[each]
            exact = _exact(each)
            instead = exact.precision if exact.precision != "fp64" else None
            yield each, Certificate(replace(known[exact], instead=instead), known[each])

    yield from ready()
    # What Inductor compiles takes longest: begun last, it would be waited for alone
    wanted = sorted((part for part in names if part not in known), key=_is_quick)
    asked = {
        part: (
            Environment.of(part),
            Certify(executable=part, problem_file=str(_problem(part))),
        )
        for part in wanted
    }
    with closing(answers(asked, timeout_s)) as found:
        for part, answer in found:
            if isinstance(answer, Failure):  # the next attempt may fare better
                known[part] = Half(failure=f"{answer.status}: {answer.reason}")
            else:
                known[part] = Half(answer.checks)
                cache.keep(names[part], json.dumps(plain(known[part])))
            yield from ready()


def _is_quick(part: Executable) -> bool:
    """Whether Inductor has nothing to compile."""
    return part.backend != "torch" or part.mode == "eager"


def _exact(executable: Executable) -> Executable:
    """The executable in the precision in which its semantics are compared."""
    return replace(executable, precision=exact_precision(executable))


def halves(executables: Iterable[Executable]) -> list[Executable]:
    """What is worked out for the certificates of executables that can run here, each half once: the
    executable itself, and that in the precision in which its semantics are compared.
    """
    able = [each for each in executables if obstacle(each) is None]
    both = ((_exact(each), each) for each in able)
    return list(dict.fromkeys(part for pair in both for part in pair))


def missing(executables: Iterable[Executable]) -> tuple[list[Executable], int]:
    """The halves that the cache does not hold, and how many problems it does not hold for them.
    Nothing is worked out.
    """
    checks = sources([module_file(bench, "worker", "__main__")])
    wanted = [part for part in halves(executables) if _known(_entry(part, checks)) is None]
    posed_by = _posing()
    problems = {_problem_entry(part, posed_by) for part in wanted}
    return wanted, sum(cache.find(name) is None for name in problems)


def _entry(part: Executable, checks: Sources) -> str:
    return f"certificates/{_key(part, checks)}.json"


def _known(name: str) -> Half | None:
    """A half that the cache holds; None where there is none, or one that checked nothing."""
    half = cache.read_as(name, Half)
    return half if half and half.checks and not half.failure else None


def _problem(executable: Executable) -> Path:
    """The file with the problem and the reference's solution, worked out where there is none."""
    training = executable.training
    name = _problem_entry(executable, _posing())
    if known := cache.find(name):
        return known
    with TemporaryFolder() as folder:
        fresh = folder.path / "problem.npz"
        words = (
            executable.model,
            str(executable.world_size or 1),
            json.dumps(plain(training)),
            str(fresh),
        )
        if processes.run("bench.identity.problem", *words, variables=SLEEPY):
            what = f"{executable.model} with {training.label}"
            raise UsageError(f"the reference of {what} could not be computed")
        return cache.adopt(name, fresh)


def _posing() -> str:
    """Fingerprint of all sources that pose and solve problems."""
    return fingerprint(sources([module_file(bench, "identity", "problem")]))


def _problem_entry(executable: Executable, posed_by: str) -> str:
    posed = [executable.model, executable.training.recipe, *executable.training.label.split()]
    if (executable.world_size or 1) > 1:
        posed.append(f"of-{executable.world_size}")
    return f"problems/{'-'.join(posed)}-{posed_by[:16]}.npz"


def _key(executable: Executable, checks: Sources) -> str:
    """Fingerprint of all that a half depends on; `checks`: the sources of a worker."""
    module = module_of(executable, executable.world_size)
    packages = set(backend(executable).packages)
    if module.endswith(".py"):  # a user's file, which may import any framework and any neighbour
        found: Sources = {}
        for folder in {Path(module).resolve().parent, Path(module).parent}:
            found |= sources([Path(module), *sorted(folder.glob("*.py"))], folder)
        every = [known for row in CATALOGUE.values() for known in row.backends]
        packages = {name for known in every for name in known.packages}
    else:
        found = sources([module_file(resnet_impls, *module.split(".")[1:])])
    machine = this_machine()
    depends = {
        "executable": plain(executable),
        "sources": fingerprint(checks | found),
        "versions": versions(packages | {"jaxlib", "numpy"}, executable.device),
        "environment": Environment.of(executable).library_variables(),
        "python": machine.python,
        "processor": machine.processor(executable.device),
        "driver": [gpu.driver for gpu in machine.gpus],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
