"""The page in a real browser, as wide as a phone and as a desktop: drawing, accessibility and interaction."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

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
return [...document.querySelectorAll('svg')]
  .filter((svg) => {
    const box = svg.getBoundingClientRect();
    const marks = svg.querySelectorAll('path, circle, rect, line:not(.grid):not(.axis)');
    return box.width < 100 || box.height < 30 || marks.length === 0 ||
      [...svg.querySelectorAll('*')].some((one) => [...one.attributes].some((own) => /NaN|undefined|Infinity/.test(own.value)));
  })
  .map((svg) => svg.getAttribute('aria-label'))
"""
OUTSIDE = """
return [...document.querySelectorAll('svg')].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('path, circle, rect')]
    .filter((one) => one.getAttribute('visibility') !== 'hidden')
    .filter((one) => { const own = one.getBoundingClientRect();
      return own.left < box.left - 2 || own.right > box.right + 2 || own.top < box.top - 2 || own.bottom > box.bottom + 2; })
    .map((one) => svg.getAttribute('aria-label') + ': ' + one.outerHTML.slice(0, 120));
})
"""
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
  .filter((one) => one.textContent.trim() && !one.closest('.skip') && !one.classList.contains('halo'))
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


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_drawn_without_errors(driver: Chrome, pages: dict[str, Path], shape: str, width: int) -> None:
    open_page(driver, pages[shape], width)
    assert console(driver) == []
    assert driver.execute_script(UNDRAWN) == []
    assert driver.execute_script(OUTSIDE) == []
    assert driver.execute_script(OVERFLOWING) == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0, "nothing is loaded"


def test_every_chart_is_there(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    drawn = {name: len(driver.find_elements(By.CSS_SELECTOR, f"#{name} svg")) for name in CHARTS}
    assert min(drawn.values()) >= 1, drawn
    open_page(driver, pages["controls"])
    assert len(driver.find_elements(By.CSS_SELECTOR, "#transfer .matrix td")) > 4


HIDDEN = """
return [...document.querySelectorAll('svg')].flatMap((svg) => {
  const right = svg.getBoundingClientRect().right, left = svg.getBoundingClientRect().left;
  return [...svg.querySelectorAll('text')].filter((one) => one.textContent.trim())
    .map((one) => [one.getBoundingClientRect(), one])
    .filter(([own]) => own.width && (own.left < left - 1 || own.right > right + 1))
    .map(([, one]) => svg.getAttribute('aria-label') + ': ' + one.textContent);
})
"""
CROSSED = """
return [...document.querySelectorAll('svg')].filter((svg) => !svg.closest('#surface, #simplex')).flatMap((svg) =>
  [...svg.querySelectorAll('text.name')].map((one) => one.getBoundingClientRect()).flatMap((name) =>
    [...svg.querySelectorAll('path, circle')].map((one) => one.getBoundingClientRect())
      .filter((own) => own.top < name.bottom - 3 && own.bottom > name.top + 3 && own.left < name.right && own.right > name.left)
      .map(() => svg.getAttribute('aria-label'))))
"""


@pytest.mark.parametrize("shape", ["several", "goals", "many"])
def test_labels_are_neither_cut_nor_covered(driver: Chrome, pages: dict[str, Path], shape: str) -> None:
    """No label leaves its drawing, and no curve or dot covers the name of an axis."""
    open_page(driver, pages[shape])
    assert driver.execute_script(HIDDEN) == []
    assert driver.execute_script(CROSSED) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("shape", ["several", "requirements", "controls"])
def test_all_text_has_enough_contrast(driver: Chrome, pages: dict[str, Path], shape: str, dark: bool) -> None:
    """A contrast of at least 4.5 to 1, as WCAG requires for text."""
    open_page(driver, pages[shape], dark=dark)
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


def marks(driver: Chrome) -> list[tuple[str, ...]]:
    """The cells and the dots of the chart of two parameters."""
    cells = driver.execute_script(
        "return [...document.querySelectorAll('#surface .cells rect')].map((c) => c.getAttribute('class'))"
    )
    dots = driver.execute_script(
        "return [...document.querySelectorAll('#surface circle')].map((c) => c.getAttribute('cx') + ' ' + c.getAttribute('cy'))"
    )
    return [tuple(cells), tuple(dots)]


def test_any_two_parameters_can_be_chosen(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    across, upwards = (Select(one) for one in driver.find_elements(By.CSS_SELECTOR, "#surface select"))
    first = (across.first_selected_option.text, upwards.first_selected_option.text)
    drawn = marks(driver)
    across.select_by_visible_text("optim.lr")
    upwards.select_by_visible_text("optim.dropout")
    assert marks(driver) != drawn
    words = driver.find_element(By.CSS_SELECTOR, "#surface .ticks").text
    assert "optim.lr" in words
    assert "optim.dropout" in words
    assert (
        driver.find_element(By.CSS_SELECTOR, "#surface svg").get_attribute("aria-label")
        == "Score over optim.lr and optim.dropout"
    )
    upwards.select_by_visible_text("optim.lr")
    assert "two different" in driver.find_element(By.CSS_SELECTOR, "#surface .status").text
    across.select_by_visible_text(first[0])
    upwards.select_by_visible_text(first[1])
    cells, dots = marks(driver)
    assert cells == drawn[0], "the script draws as the page was drawn"
    for ours, theirs in zip(dots, drawn[1], strict=True):
        if theirs != "0 0":
            assert [float(at) for at in ours.split()] == pytest.approx([float(at) for at in theirs.split()], abs=0.5)
    assert console(driver) == []


def test_swapping_the_axes_transposes_the_chart(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    across, upwards = (Select(one) for one in driver.find_elements(By.CSS_SELECTOR, "#surface select"))
    one, other = across.first_selected_option.text, upwards.first_selected_option.text
    cells, _ = marks(driver)
    across.select_by_visible_text(other)
    upwards.select_by_visible_text(one)
    turned, _ = marks(driver)
    n = round(len(cells) ** 0.5)
    assert [cells[row * n + col] for row in range(n) for col in range(n)] == [
        turned[col * n + row] for row in range(n) for col in range(n)
    ]


def test_a_trial_is_shown_in_every_chart(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["several"])
    link = driver.find_element(By.CSS_SELECTOR, "#all-trials tbody tr a")
    number = driver.execute_script("return arguments[0].closest('tr').dataset.trial", link)
    driver.execute_script("arguments[0].focus()", link)
    shown = driver.execute_script(
        "return [...document.querySelectorAll('.on')].map((one) => [one.closest('section').id, one.dataset.trial])"
    )
    assert {trial for _, trial in shown} == {number}
    assert {"curves", "parallel", "timeline", "trials"} <= {section for section, _ in shown}


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
    cut = driver.execute_script(
        "return [...document.querySelectorAll('section:not(#trials) svg, section:not(#trials) table')]"
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


def test_it_is_complete_without_scripts(driver: Chrome, pages: dict[str, Path]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(pages["several"].as_uri())
        assert len(driver.find_elements(By.CSS_SELECTOR, "svg")) > 10
        assert not driver.find_element(By.CSS_SELECTOR, "#surface .choice").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
