"""What the documents say is true of the code."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.cli.main import parser
from bench.records import FIELDS, Run, schema

ROOT = Path(__file__).parents[1]
GUIDES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
LINKING = [*GUIDES, "CONTRIBUTING.md", "results/README.md"]
GLOSSARY = ["cell", "certificate", "contender", "contest", "round", "block", "replicate", "control"]
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """What stands below a heading of a document."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every shell command in the ```sh blocks of a document, comments left out."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: Counter[str] = Counter()
    slugs = set()
    for heading in re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        slugs.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] += 1
    return slugs


@pytest.mark.parametrize(
    ("heading", "names"),
    [("A record, schema 1", FIELDS), ("`run.json`", [each.name for each in fields(Run)])],
)
def test_every_field_of_a_record_and_of_a_run_is_explained(
    heading: str, names: Sequence[str]
) -> None:
    explained = {
        name
        for line in part(read("results/README.md"), heading).splitlines()
        if line.startswith("| ")
        for name in line.split("|")[1].replace(",", " ").split()
    }
    assert set(names) - explained == set()


def test_ci_runs_the_readmes_test_command() -> None:
    command = read(".ci/run").splitlines()[-1]
    assert f"```sh\n{command}\n```" in read("README.md")


def test_every_command_of_the_guides_is_understood() -> None:
    ours = {
        name: [words[1:] for words in commands(read(name)) if Path(words[0]).name == "resnet-bench"]
        for name in GUIDES
    }
    assert len(ours["README.md"]) > 3
    assert len(ours["docs/measuring.md"]) > 10
    for words in (words for found in ours.values() for words in found):
        parser().parse_args(words)


def test_every_option_that_pytest_hands_on_is_understood() -> None:
    handed_on = [
        words[words.index("--resnet-bench") + 1]
        for name in GUIDES
        for words in commands(read(name))
        if "--resnet-bench" in words
    ]
    assert handed_on
    for options in handed_on:
        parser().parse_args(["run", *shlex.split(options)])


@pytest.mark.parametrize("name", LINKING)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", read(name))) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_guide_is_linked_from_the_readme() -> None:
    assert set(GUIDES) - {"README.md"} - set(LINK.findall(read("README.md"))) == set()


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 150


def test_the_glossary_has_its_words() -> None:
    rows = [line for line in part(read("README.md"), "Glossary").splitlines() if line[:1] == "|"]
    assert [row.split("|")[1].strip() for row in rows[2:]] == GLOSSARY


def test_the_readmes_ranking_is_that_of_the_run_it_names() -> None:
    readme = read("README.md")
    [report] = set(re.findall(r"\]\((results/[\w-]+/report\.md)\)", readme))
    cells = [line.split("|") for line in read(report).splitlines()]
    measured = ["|".join([*row[:2], *row[3:]]) for row in cells]  # but for the catalogue's names
    rows = [line for line in readme.splitlines() if re.search(r"\| \d+ \[", line)]
    assert len(rows) == 5
    assert [row for row in rows if not any(line.startswith(row) for line in measured)] == []


def test_every_line_of_prose_is_at_most_100_characters_long() -> None:
    assert [
        (name, line) for name in GUIDES for line in read(name).splitlines() if len(line) > 100
    ] == []


def test_every_file_that_contributors_are_sent_to_is_there() -> None:
    text = read("CONTRIBUTING.md")
    named = set(re.findall(r"`((?:bench|resnet_impls|tests|results)/[\w/.]*)`", text))
    room = "|".join(path.name for path in (ROOT / "bench").iterdir() if path.is_dir())
    named |= {f"bench/{name}" for name in re.findall(rf"`((?:{room})/[\w/.]*)`", text)}
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_published_schemas_are_those_of_the_code() -> None:
    for name, kind in schema.FILES.items():
        assert read(f"results/{name}") == schema.schema(kind)


def test_every_file_that_the_guides_name_is_there() -> None:
    text = "\n".join(map(read, GUIDES))
    named = set(re.findall(r"\b((?:resnet_impls|tests/benchmarks)/\w+\.py)\b", text))
    assert {"resnet_impls/numpy_reference.py", "tests/benchmarks/coverage.py"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_module_that_is_said_to_run_is_there() -> None:
    code = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    sources = [*(ROOT / name for name in GUIDES), *code]
    texts = (path.read_text(encoding="utf-8") for path in sources)
    named = {name for text in texts for name in re.findall(r"python -m (bench(?:\.\w+)*)", text)}
    assert "bench.identity.article" in named
    assert [name for name in sorted(named) if not _importable(name)] == []


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False
