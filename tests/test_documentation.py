"""What the documents say is true of the code."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

from bench.cli.options import parser
from bench.records import FIELDS

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_field_of_a_record_is_explained() -> None:
    explained = {
        name
        for line in read("results/README.md").splitlines()
        if line.startswith("| ")
        for name in line.split("|")[1].replace(",", " ").split()
    }
    assert set(FIELDS) - explained == set()


def test_ci_runs_the_readmes_test_command() -> None:
    command = read(".ci/run").splitlines()[-1]
    assert f"```sh\n{command}\n```" in read("README.md")


def test_every_command_of_the_readme_is_understood() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", read("README.md"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines]
    ours = [words[1:] for words in commands if words[0] == "resnet-bench"]
    assert len(ours) > 5
    for words in ours:
        parser().parse_args(words)


def test_every_file_that_contributors_are_sent_to_is_there() -> None:
    named = set(re.findall(r"`((?:bench|resnet_impls|tests)/[\w/.]+)`", read("CONTRIBUTING.md")))
    assert len(named) > 5
    assert [
        name for name in sorted(named - {"bench/inputs/NAME_feed.py"}) if not (ROOT / name).exists()
    ] == []


def test_every_module_that_is_said_to_run_is_there() -> None:
    sources = [ROOT / "README.md", *(ROOT / "bench").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    texts = (path.read_text(encoding="utf-8") for path in sources)
    named = {name for text in texts for name in re.findall(r"python -m (bench(?:\.\w+)*)", text)}
    assert "bench.certificate.article" in named
    assert [name for name in sorted(named) if find_spec(name) is None] == []
