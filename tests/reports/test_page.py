"""`report.html` in a real browser: what readers do with it, and what hostile text cannot do."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from bench.reports.plots import render
from bench.reports.report import Report
from bench.reports.sections import answers
from builders import JAX, TENSORFLOW, record, report, run, timed

HOSTILE = (
    "</script><script>document.title='owned'</script>\n=1+1|\"'`<img src=x onerror=alert(1)>&lt;"
)
PEAK = {"gflop_per_s": 200.0, "library": "torch 2", "copy_gb_per_s": 20.0}
INSTALL = "no chromium: install it (Debian: apt-get install chromium)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    with sync_playwright() as playwright:
        # Chromium refuses to be its own jailer as root
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


def made() -> Report:
    """A report with every kind of plot, hostile text wherever text comes from outside."""
    known: dict[str, Any] = {
        "machine": HOSTILE,
        "processor": HOSTILE,
        "losses": (2.0, 1.0, 0.5),
        "latency_ms": (10.0, 11.0, 12.0),
        "host_baseline_mib": 100.0,
        "host_peak_mib": 150.0,
        "achieved_gflop_per_s": 100.0,
        "test_accuracy": 0.9,
        "certificate_float64": "passed",
    }
    records = [
        timed(
            [seconds * (1 + replicate / 100), seconds],
            replicate=replicate,
            batch_size=batch,
            cohort=f"{batch} {replicate}",
            **known,
            **contender,
        )
        for batch in (8, 64)
        for replicate in range(3)
        for seconds, contender in ((2.0, {}), (1.0, JAX), (1.5, {"implementation": HOSTILE}))
    ]
    lost = {"machine": HOSTILE, "processor": HOSTILE, "reason": HOSTILE, "status": "crashed"}
    records.append(record(**lost, **TENSORFLOW))
    facts = replace(run().machine, machine=HOSTILE, cpu=HOSTILE, os=HOSTILE)
    known_of_run: dict[str, Any] = {"command": HOSTILE, "peaks": {"cpu": {"all/fp32": PEAK}}}
    return report(*records, machine=facts, **known_of_run)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert render.begin(folder, made())() is None
    return folder / "report.html"


@pytest.fixture
def opened(browser: Browser, path: Path) -> Iterator[Callable[..., Page]]:
    """Opens the page; fails where it complains, or asks any network for anything."""
    trouble: list[str] = []
    contexts = []

    def go(**settings: Any) -> Page:
        context = browser.new_context(**settings)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))

        def refuse(route: Any) -> None:
            if route.request.url == path.as_uri():
                route.continue_()
            else:
                trouble.append(route.request.url)
                route.abort()

        page.route("**/*", refuse)
        page.goto(path.as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert trouble == []


def draw_all(page: Page) -> None:
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator("svg").wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every((plot) => plot.dataset.drawn)"
    )


def head(page: Page, name: str) -> Locator:
    return page.locator(
        "thead th", has=page.get_by_role("button", name=f"Sort by {name}", exact=True)
    )


def column(page: Page, name: str) -> list[str]:
    names = page.locator("thead th a").all_inner_texts()
    index = names.index(name) + 1
    return page.locator(f"tbody tr:visible > :nth-child({index})").all_inner_texts()


def test_every_plot_is_drawn_and_says_in_words_what_it_shows(opened: Callable[..., Page]) -> None:
    page = opened()
    draw_all(page)
    kinds = page.locator("figure").evaluate_all("all => all.map((each) => each.className)")
    per_contest = ["throughput", "losses", "latency", "memory", "blocks"]
    assert kinds == [*per_contest, *per_contest, "scaling", "roofline"]
    assert page.locator("figcaption p").count() == len(kinds)
    for plot in page.locator(".plot").all():
        assert plot.get_attribute("role") == "graphics-document"
        assert plot.get_attribute("aria-label")
    assert page.locator("svg .mark-symbol path").count() > 0


def test_a_column_sorts_both_ways_and_unknowns_stay_last(opened: Callable[..., Page]) -> None:
    page = opened()
    speed = head(page, "images/s, or time to target")
    assert speed.get_attribute("aria-sort") == "none"
    for order, sign in (("ascending", 1), ("descending", -1)):
        speed.get_by_role("button").click()
        assert speed.get_attribute("aria-sort") == order
        shown = column(page, "images/s, or time to target")
        assert shown[-1] == "–"
        speeds = [float(text.split()[0].replace(",", "")) for text in shown[:-1]]
        assert speeds == sorted(speeds, key=lambda value: sign * value)
    head(page, "status").get_by_role("button").click()
    assert speed.get_attribute("aria-sort") == "none"
    assert column(page, "status")[0] == "crashed"


def test_the_table_is_filtered_by_words_and_by_choice(opened: Callable[..., Page]) -> None:
    page = opened()
    assert page.locator("#count").inner_text() == "7 of 7 cells"
    page.get_by_label("Find").fill("JAX batch 8")
    assert column(page, "contender") == ["Keras functional on JAX\nkeras_functional[jax] compiled"]
    assert page.locator("#count").inner_text() == "1 of 7 cells"
    page.get_by_label("Find").fill("")
    page.locator("#status").select_option("crashed")
    assert column(page, "status") == ["crashed"]


def test_the_keyboard_alone_reaches_the_table_and_sorts_it(opened: Callable[..., Page]) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'cells'")
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "contender"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert head(page, "contender").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Callable[..., Page], scheme: str) -> None:
    page = opened(color_scheme=scheme)
    draw_all(page)
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found] == []


def test_the_system_chooses_dark_and_the_reader_may_differ(opened: Callable[..., Page]) -> None:
    page = opened(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator(".plot svg").first.wait_for()
    switch = page.locator("#theme")
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    assert page.evaluate(ground) != dark
    assert switch.get_attribute("aria-pressed") == "false"
    page.wait_for_function("document.querySelector('.plot').dataset.theme === 'light'")


def test_a_phone_scrolls_the_table_and_not_the_page(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 360, "height": 740})
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    scroll = page.locator(".scroll")
    assert scroll.evaluate("each => each.scrollWidth > each.clientWidth")


def test_a_mark_shows_its_figures_when_pointed_at(opened: Callable[..., Page]) -> None:
    page = opened()
    mark = page.locator(".throughput svg .mark-symbol path").first
    mark.hover()
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "Keras functional on JAX" in tip.inner_text()


def test_every_column_leads_to_its_definition_in_the_page(opened: Callable[..., Page]) -> None:
    page = opened()
    links = page.locator("thead th a")
    assert links.count() == page.locator("thead th").count()
    for link in links.all():
        link.click()
        defined = page.locator(":target")
        assert defined.evaluate("each => each.tagName") == "DT"
        assert len(defined.locator("xpath=following-sibling::dd[1]").inner_text()) > 20


def test_the_answer_is_the_largest_text_and_the_same_as_in_the_report(
    opened: Callable[..., Page],
) -> None:
    page = opened()
    sizes = page.evaluate(
        "[...document.querySelectorAll('main *')].map("
        "(each) => [parseFloat(getComputedStyle(each).fontSize), each.className])"
    )
    assert max(sizes)[1] == "headline"
    said = page.locator(".headline").first.inner_text()
    assert said.startswith("Keras functional on JAX is fastest, 1.5")
    assert said in answers.section(made()).replace("\\", "")
    bars = page.locator(".answer").first.locator(".bars li")
    name = ["Keras functional on JAX", "keras_functional[jax] compiled"]
    assert bars.first.inner_text().split("\n")[:2] == name
    widths = bars.locator(".bar").evaluate_all("all => all.map((each) => each.offsetWidth)")
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.6 * widths[0]


def test_paper_is_white_and_has_the_whole_table_without_controls(
    opened: Callable[..., Page],
) -> None:
    page = opened(color_scheme="dark", viewport={"width": 1050, "height": 700})
    draw_all(page)
    page.emulate_media(media="print", color_scheme="dark")
    colours = "(each) => [getComputedStyle(each).backgroundColor, getComputedStyle(each).color]"
    white, black = "rgb(255, 255, 255)", "rgb(0, 0, 0)"
    assert page.locator("body").evaluate(colours) == [white, black]
    texts = page.locator(".plot svg text")
    assert {each.evaluate("e => getComputedStyle(e).fill") for each in texts.all()[:20]} == {black}
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    assert page.locator("#table").evaluate("each => each.scrollWidth") <= 1050
    assert page.locator(".scroll").evaluate("each => each.scrollWidth <= each.clientWidth + 1")
    assert page.pdf().startswith(b"%PDF")


def test_hostile_text_stays_text(opened: Callable[..., Page]) -> None:
    page = opened()
    draw_all(page)
    assert page.title() == "first · resnet-bench"
    assert page.locator("img").count() == 0
    shown = " ".join(HOSTILE.split())
    assert " ".join(column(page, "reason")[-1].split()) == shown
    assert " ".join(page.locator("pre").inner_text().split()) == shown
    assert shown in " ".join(page.locator(".answer").first.inner_text().split())
    page.locator(".throughput svg .mark-symbol path").nth(1).hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
