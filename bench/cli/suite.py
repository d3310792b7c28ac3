"""`run --config`: the options of a suite, or of an earlier run, below those of the command line."""

import argparse
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.request import request_of
from bench.errors import UsageError, unknown
from bench.records.asked import of_run
from bench.request.matrix import contenders
from bench.request.request import Request
from bench.request.suite import Suite, Table, find

# What, so that no matrix of its own may have another
OF_THE_RUN = (
    *("profile", "replicates", "precision-target", "max-replicates", "remeasure-busy"),
    *("certify", "save-weights", "timeout", "budget", "out", "machine-name", "wait"),
)
OF_THE_COMMAND = (  # of no suite
    *("config", "save-config", "resume", "plan", "json", "shard"),
    *("engine", "address", "on"),
)
PATHS = ("data-dir", "load-weights", "out")  # from the folder of the suite, as are files of `impl`


def requested(options: argparse.Namespace) -> tuple[argparse.Namespace, Request]:
    """The options of a run, and the request that they make, both with those of `--config`.

    `options.parser` is what reads them, and `options.words` what it read. Raises UsageError as
    `request_of` does, with the file and line of the matrix, and where `--config` cannot be read.
    """
    every, requests = matrices_of(options)
    first, *others = requests
    return every[0], replace(first, also=tuple(others))


def matrices_of(options: argparse.Namespace) -> tuple[list[argparse.Namespace], list[Request]]:
    """The options of each matrix, and its request."""
    if options.config is None:
        return [options], [request_of(options)]
    suite = _suite(options.config)
    given: list[argparse.Namespace] = []
    requests: list[Request] = []
    for number in range(len(suite.matrices)):
        given.append(_merged(options, values(suite, number, options.parser)))
        try:
            requests.append(request_of(given[-1]))
            contenders(requests[-1].impl or ())
        except UsageError as error:
            at = ("matrix", number) if suite.matrices[number] else ()
            raise UsageError(f"{suite.where(*at)}: {error}") from None
    folders = {each.data_dir for each in requests if each.data_dir}
    if len(folders) > 1:
        raise UsageError(f"{suite.where('matrix')}: data-dir differs; a run has one")
    return given, [replace(each, data_dir=next(iter(folders), None)) for each in requests]


def _suite(name: str) -> Suite:
    """Of a suite's name or file, or of the folder or `run.json` of a run."""
    from bench.records.folder import RunFolder

    path = Path(name)
    if path.name == "run.json":
        path = path.parent
    if os.path.exists(path / "run.json"):  # not Path: a name may be too long
        shared, matrices = of_run(RunFolder.open(path).run)
        return Suite(path / "run.json", "", shared, matrices)
    return find(name)


def _merged(options: argparse.Namespace, below: Mapping[str, Any]) -> argparse.Namespace:
    """What the words say, and `below` what they do not."""
    parser = options.parser
    before = {name: parser.get_default(name) for name in below}
    parser.set_defaults(**below)
    try:
        merged = parser.parse_args(options.words[1:])
    finally:
        parser.set_defaults(**before)
    merged.words = options.words
    return merged


def values(suite: Suite, number: int, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The options of a matrix of a suite, converted as `parser` does, by their names there.

    Raises UsageError that names the file, the line, the option and what is allowed.
    """
    actions = _actions(parser)
    allowed = [name for name in actions if name not in OF_THE_COMMAND]
    found: dict[str, Any] = {}
    for keys, table in (((), suite.shared), (("matrix", number), suite.matrices[number])):
        for name, value in table.items():
            if not keys and name == "description":
                continue
            where = suite.where(*keys, name)
            if name not in allowed:
                raise UsageError(f"{where}: {unknown('option', name, allowed)}")
            if keys and name in OF_THE_RUN:
                raise UsageError(
                    f"{where}: {name} is of the whole run: write it above the first [[matrix]]"
                )
            try:
                converted = _value(actions[name], value)
            except ValueError as error:
                raise UsageError(f"{where}: {name} = {_shown(value)}: {error}") from None
            found[actions[name].dest] = _placed(name, converted, suite.path.parent)
    return found


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a parser by their names without the dashes, `help` left out."""
    long = {action: action.option_strings[0] for action in parser._actions}
    return {
        name.removeprefix("--"): action for action, name in long.items() if name.startswith("--")
    }


def _value(action: argparse.Action, value: Any) -> Any:
    """A value of TOML as `action` would have it of words. Raises ValueError that says why not."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    many = action.nargs == "+"
    if isinstance(value, list) and not many:
        raise ValueError("takes one value and no list")
    if value == []:
        raise ValueError("an empty list asks for nothing; leave the option out, or name something")
    each = [_one(action, one) for one in (value if isinstance(value, list) else [value])]
    return each if many else each[0]


def _one(action: argparse.Action, value: Any) -> Any:
    numeric = action.type not in (None, Path)
    if isinstance(value, bool) or not isinstance(value, str | int | float if numeric else str):
        raise ValueError(f"must be {'a number' if numeric else 'text in quotes'}")
    if action.choices is not None and value not in action.choices:
        raise ValueError(f"choose from {', '.join(map(str, action.choices))}")
    if action.type is None:
        return value
    try:
        return action.type(str(value))  # type: ignore[operator]
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _placed(name: str, value: Any, folder: Path) -> Any:
    """With relative paths taken from the suite's folder."""
    if name in PATHS:
        return folder / value
    if name == "impl":
        return [str(folder / each) if each.endswith(".py") else each for each in value]
    return value


def save(path: Path, options: argparse.Namespace) -> None:
    """Write what the options of a command ask for as a suite. Raises UsageError where they
    contradict each other, or the file cannot be written or is there already.
    """
    text = text_of(options)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"--save-config {path}: is there already; name another file") from None
    except OSError as error:
        problem = f"--save-config {path}: cannot be written ({error.strerror})"
        raise UsageError(problem) from None


def text_of(options: argparse.Namespace) -> str:
    """What the options of a command ask for, as the TOML of a suite."""
    given, _ = matrices_of(options)
    each = [_asked(one) for one in given]
    shared = {name: value for name, value in each[0].items() if name in OF_THE_RUN}
    matrices = [{name: one[name] for name in one if name not in OF_THE_RUN} for one in each]
    command = shlex.join(["resnet-bench", *options.words])
    return written(f"as asked for by {command}", shared, matrices)


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The options that differ from their defaults, as a suite has them."""
    found: dict[str, Any] = {}
    for name, action in _actions(options.parser).items():
        value = getattr(options, action.dest)
        if name in OF_THE_COMMAND or value == action.default:
            continue
        if name == "budget":
            value = f"{value:.0f}s"
        elif isinstance(value, Path):
            value = str(value.absolute())
        elif name == "impl":
            value = [str(Path(v).absolute()) if v.endswith(".py") else v for v in value]
        found[name] = value
    return found


def written(description: str, shared: Table, matrices: Iterable[Table]) -> str:
    """A suite as TOML."""
    import tomli_w

    first, *others = matrices
    entries = {"description": description, **shared}
    entries |= {"matrix": [first, *others]} if others else first
    return tomli_w.dumps(entries)
