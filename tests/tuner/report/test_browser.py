"""The page in a real browser, as wide as a phone and as a desktop: drawing, accessibility and interaction.

Figures are drawn when they are scrolled to, so a test that looks at all of them draws them first.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import browser, console, missing, open_page
from tests.support.report_shapes import SHAPES, made
from tuner.report.page import page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]

PHONE, DESK = 390, 1280
CHARTS = ("champion", "curves", "importance", "parallel", "contour", "fronts", "simplex", "health", "timeline", "cost")

OVERFLOWING = """
return [...document.querySelectorAll('body *')]
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter((one) => !one.closest('.scroll, nav ul, pre'))
  .map((one) => one.tagName + '.' + one.getAttribute('class'))
"""
UNDRAWN = """
return figures.filter((figure) => {
    const box = figure.querySelector('.main-svg').getBoundingClientRect();
    const parts = [...figure.querySelectorAll('.trace, .trace *')];
    return box.width < 100 || box.height < 30 || parts.length < 2 ||
      parts.some((one) => [...one.attributes].some((own) => /NaN|undefined|Infinity/.test(own.value)));
  })
  .map((figure) => figure.getAttribute('aria-label'))
"""
DRAW = "figures.forEach(draw)"
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgb = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data]; };
const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (css) => { const [r, g, b] = rgb(css).map((c) => linear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const paperOf = (one) => { for (let at = one; at; at = at.parentElement) {
  const css = getComputedStyle(at).backgroundColor; if (rgb(css)[3] > 250) return css; } return 'white'; };
return [...document.querySelectorAll('p, li, td, th, dd, dt, a, span, b, label, figcaption, summary, text, small')]
  .filter((one) => one.textContent.trim() && !one.closest('.skip') && one.getBoundingClientRect().width)
  .map((one) => { const style = getComputedStyle(one);
    const ink = light(one.namespaceURI.endsWith('svg') ? style.fill : style.color), paper = light(paperOf(one));
    return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), one.textContent.slice(0, 40)]; })
  .filter(([ratio]) => ratio < 4.5)
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for shape in SHAPES:
        (folder / f"{shape}.html").write_text(page(made(shape)), encoding="utf-8")
    return {shape: folder / f"{shape}.html" for shape in SHAPES}


@pytest.mark.parametrize("shape", ["one", "several", pytest.param("many", marks=pytest.mark.endurance), "confirmed", "hostile"])
def test_it_is_drawn_without_errors_and_follows_the_width(driver: Chrome, pages: dict[str, Path], shape: str) -> None:
    open_page(driver, pages[shape], PHONE)
    driver.execute_script(DRAW)
    for width in (PHONE, DESK):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(OVERFLOWING) == [])
        assert driver.execute_script(UNDRAWN) == []
        assert driver.execute_script(HIDDEN) == []
    assert console(driver) == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0, "nothing is loaded"


def test_every_chart_is_there_and_drawn_when_it_is_scrolled_to(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    figures = {name: len(driver.find_elements(By.CSS_SELECTOR, f"#{name} .plot")) for name in CHARTS}
    assert min(figures.values()) >= 1, figures
    assert driver.find_elements(By.CSS_SELECTOR, "#cost .main-svg") == []
    driver.execute_script("document.querySelector('#cost').scrollIntoView()")
    WebDriverWait(driver, 20).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#cost .main-svg"))
    open_page(driver, pages["controls"])
    assert len(driver.find_elements(By.CSS_SELECTOR, "#transfer .matrix td")) > 4


HIDDEN = """
return figures.flatMap((figure) => {
  const box = figure.getBoundingClientRect();
  return [...figure.querySelectorAll('svg text')].filter((one) => one.textContent.trim())
    .map((one) => [one.getBoundingClientRect(), one])
    .filter(([own]) => own.width && (own.left < box.left - 2 || own.right > box.right + 2 || own.bottom > box.bottom + 2))
    .map(([, one]) => figure.getAttribute('aria-label') + ': ' + one.textContent);
})
"""
"""Labels that leave their figure."""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("shape", ["several", pytest.param("requirements", marks=pytest.mark.endurance), "controls"])
def test_all_text_has_enough_contrast(driver: Chrome, pages: dict[str, Path], shape: str, dark: bool) -> None:
    """A contrast of at least 4.5 to 1, as WCAG requires for text."""
    open_page(driver, pages[shape], dark=dark)
    driver.execute_script(DRAW)
    assert driver.execute_script(CONTRAST) == []
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ("253" in paper) != dark


def column(driver: Chrome, index: int) -> list[str]:
    return [cell.text for cell in driver.find_elements(By.CSS_SELECTOR, f"#all-trials tbody tr > :nth-child({index})")]


def test_the_table_sorts_by_any_column_with_the_keyboard(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    headings = driver.find_elements(By.CSS_SELECTOR, "#all-trials thead th")
    names = [heading.text for heading in headings]
    score = names.index("score") + 1
    before = column(driver, score)
    button = headings[score - 1].find_element(By.TAG_NAME, "button")
    for direction, sign in (("descending", -1), ("ascending", 1)):
        button.send_keys(Keys.ENTER)
        shown = column(driver, score)
        assert sorted(shown) == sorted(before)
        values = [float(text) for text in shown if text != "–"]
        assert values == sorted(values, key=lambda value: sign * value)
        assert shown[len(values) :] == ["–"] * (len(shown) - len(values)), "what has no score comes last"
        assert headings[score - 1].get_attribute("aria-sort") == direction
        assert driver.find_element(By.CSS_SELECTOR, "#trials [role=status]").text == f"Sorted by score, {direction}."
    rate = names.index("learning rate") + 1
    headings[rate - 1].find_element(By.TAG_NAME, "button").click()
    rates = [float(text) for text in column(driver, rate)]
    assert rates == sorted(rates, reverse=True), "1e-05 is a number, not a word"
    mixture = names.index("mixture") + 1
    headings[mixture - 1].find_element(By.TAG_NAME, "button").click()
    assert column(driver, mixture) == sorted(column(driver, mixture))
    assert headings[score - 1].get_attribute("aria-sort") is None
    assert console(driver) == []


def figure_of(driver: Chrome, section: str) -> WebElement:
    """A section's first figure, drawn and in view."""
    figure = driver.find_element(By.CSS_SELECTOR, f"#{section} .plot")
    driver.execute_script("draw(arguments[0]); arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", figure)
    return figure


CHOSEN = """
return arguments[0].data.filter((trace) => trace.selectedpoints)
  .flatMap((trace) => trace.selectedpoints.map((at) => trace.customdata[at]))
"""
COPIED = "return arguments[0].data.find((trace) => trace.meta === 'chosen').x.length"


def test_menus_put_other_parameters_on_the_axes(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    figure = figure_of(driver, "contour")
    before = driver.execute_script("return arguments[0].data.map((trace) => [...trace.x])", figure)
    figure.find_element(By.CSS_SELECTOR, ".updatemenu-header").click()
    entry = next(one for one in figure.find_elements(By.CSS_SELECTOR, ".updatemenu-dropdown-button") if "optim.lr" in one.text)
    entry.click()
    WebDriverWait(driver, 20).until(lambda _: figure.find_element(By.CSS_SELECTOR, ".xtitle").text == "optim.lr")
    after = driver.execute_script("return arguments[0].data.map((trace) => [...trace.x])", figure)
    assert after[0] == after[1] != before[0]
    assert console(driver) == []


def test_trials_chosen_in_one_chart_are_marked_in_the_others(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    driver.execute_script(DRAW)
    fronts, curves = (figure_of(driver, name) for name in ("fronts", "curves"))
    row = driver.find_element(By.CSS_SELECTOR, "#all-trials tbody tr")
    row.find_element(By.TAG_NAME, "th").click()
    assert "on" in (row.get_attribute("class") or "").split()
    number = int(row.get_attribute("data-trial") or "")
    marked = [set(driver.execute_script(CHOSEN, one)) for one in driver.find_elements(By.CSS_SELECTOR, ".plot")]
    assert set().union(*marked) == {number}
    assert {len(one) for one in marked} == {0, 1}
    driver.execute_script("Plotly.relayout(arguments[0], {dragmode: 'select'})", figure_of(driver, "fronts"))
    plane = fronts.find_element(By.CSS_SELECTOR, ".nsewdrag")
    width, height = plane.size["width"] // 2 - 4, plane.size["height"] // 2 - 4
    drag = ActionChains(driver).move_to_element_with_offset(plane, -width, -height).click_and_hold()
    drag.move_by_offset(width, height).move_by_offset(width, height).release().perform()
    WebDriverWait(driver, 20).until(lambda _: len(driver.execute_script(CHOSEN, fronts)) > 1)
    boxed = set(driver.execute_script(CHOSEN, fronts))
    assert set(driver.execute_script(CHOSEN, curves)) == boxed
    assert driver.execute_script(COPIED, curves) > len(boxed)
    rows = driver.find_elements(By.CSS_SELECTOR, "#all-trials tbody tr.on")
    assert {int(one.get_attribute("data-trial") or "") for one in rows} == boxed
    assert console(driver) == []


def test_the_pointer_shows_a_trial_with_its_settings(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["hostile"])
    figure = figure_of(driver, "fronts")
    mark = figure.find_element(By.CSS_SELECTOR, ".scatterlayer .point")
    ActionChains(driver).move_to_element(mark).perform()
    WebDriverWait(driver, 20).until(lambda _: figure.find_elements(By.CSS_SELECTOR, ".hoverlayer text"))
    text = figure.find_element(By.CSS_SELECTOR, ".hoverlayer").get_attribute("textContent") or ""
    assert re.search(r"trial \d+.*: complete, score 0\.\d+", text)
    assert "optim.lr: " in text
    assert "</script><script>alert(1)" in text, "shown as what it is"


def test_a_legend_hides_pruned_trials_in_every_chart(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    parallel = figure_of(driver, "parallel")
    legend = next(one for one in parallel.find_elements(By.CSS_SELECTOR, ".traces") if one.text == "pruned")
    ActionChains(driver).move_to_element(legend.find_element(By.CSS_SELECTOR, ".legendtoggle")).click().perform()
    shown = "return [...document.querySelectorAll('.plot')].filter((one) => one.data).flatMap((one) => one.data)"
    shown += ".filter((trace) => trace.name === 'pruned').map((trace) => trace.visible ?? true)"
    WebDriverWait(driver, 20).until(lambda _: set(driver.execute_script(shown)) == {"legendonly"})
    driver.execute_script(DRAW)
    assert set(driver.execute_script(shown)) == {"legendonly"}, "also in what is drawn later"


def test_links_lead_to_the_trials_own_runs(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    for row in driver.find_elements(By.CSS_SELECTOR, "#all-trials tbody tr"):
        href = row.find_element(By.TAG_NAME, "a").get_attribute("href") or ""
        assert href == f"http://127.0.0.1:5000/#/experiments/1/runs/{row.get_attribute('data-trial')}"


def test_a_screen_reader_gets_names_and_order(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    heard = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    assert {role for role, _ in heard} >= {"main", "navigation", "banner", "contentinfo", "region", "table", "image"}
    assert [
        name for role, name in heard if role in ("image", "button", "link", "region", "combobox") and not name.strip()
    ] == []
    levels = driver.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_keyboard_reaches_everything_that_can_be_used(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["one"])
    reached: list[str] = []
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    for _ in range(200):
        active: Any = driver.switch_to.active_element
        if active.tag_name == "body":
            break
        reached.append(active.tag_name)
        active.send_keys(Keys.TAB)
    assert reached[0] == "a", "the skip link comes first"
    assert {"a", "summary", "button"} <= set(reached)
    usable = driver.find_elements(By.CSS_SELECTOR, "a[href], button, summary, [tabindex='0']")
    assert len(reached) == len([one for one in usable if one.is_displayed() or one.get_attribute("class") == "skip"])


def test_it_prints_on_paper_without_cutting(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"], width=760)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    cut = driver.execute_script(
        "return [...document.querySelectorAll('section:not(#trials) .main-svg, section:not(#trials) table')]"
        ".filter((one) => !one.closest('details:not([open])'))"
        ".filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
        ".map((one) => one.closest('section').id)"
    )
    assert cut == []
    assert driver.find_element(By.TAG_NAME, "nav").value_of_css_property("display") == "none"
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 3


@pytest.mark.parametrize("shape", ["several", "controls", "hostile"])
def test_the_table_of_trials_fits_a_landscape_page(driver: Chrome, pages: dict[str, Path], shape: str) -> None:
    """A4 with the browser's own margins."""
    open_page(driver, pages[shape], width=1047)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    right = driver.execute_script("return document.querySelector('#all-trials').getBoundingClientRect().right")
    assert right <= driver.execute_script("return document.documentElement.clientWidth")


def test_without_scripts_the_tables_remain(driver: Chrome, pages: dict[str, Path]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(pages["several"].as_uri())
        assert "The charts need JavaScript" in driver.find_element(By.TAG_NAME, "noscript").text
        assert len(driver.find_elements(By.CSS_SELECTOR, "figure table")) > 8
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
