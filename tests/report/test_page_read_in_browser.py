"""What stands in the page of a CT, as a reader sees it: tables, languages, screens, paper."""

import base64
import re

import pytest

from tests.browser import what_axe_finds
from tests.report.in_browser import click, loaded, opened_page, shown_scene, text
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.data.schemes import LEVELS
from vfseg.report.case_lists import CaseLists
from vfseg.report.case_page import write_case_page


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with opened_page(shown_scene(), tmp_path_factory.mktemp("page")) as driver:
        yield driver


def test_what_was_found_is_named_and_shown_without_scrolling(driver):
    """On a radiologist's screen and on a phone: the sentence, the level, the picture along it."""
    for width, height in ((1440, 900), (390, 844)):
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.execute_script("window.scrollTo(0, 0)")
        bottoms = driver.execute_script(
            "return ['.sentence.likely', '.levels .go.likely', '.curved .row'].map("
            "  (one) => document.querySelector(one).getBoundingClientRect().bottom)"
        )
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        assert max(bottoms) <= height
    assert text(driver, ".sentence.likely").startswith("L1: fracture likely (0.93).")


def test_the_tables_say_what_the_lists_say(driver):
    lists = make_about().lists
    click(driver, "#all")
    for row in lists.vertebrae:
        cells = driver.execute_script(
            f"return [...document.querySelectorAll('tr[data-level={row['level']}] td')]"
            ".map(cell => cell.innerText.trim())"
        )
        assert cells[0] == row["verdict"]
        assert cells[1] == f"{row['probability']:.2f}"
        assert cells[7] == f"{row['map_ml']:.2f}"
    (lesion,) = lists.lesions
    shown = text(driver, "#lesions tbody tr").split()
    assert shown[:4] == ["1", "L1", "1.73", "0.90"]
    assert shown[-3:] == [lesion[f"voxels_{axis}"] for axis in "ijk"]
    click(driver, "#all")


def test_the_table_begins_with_those_that_need_a_look_and_shows_all_when_asked(driver):
    def shown():
        return driver.execute_script(
            "return [...document.querySelectorAll('#vertebrae tbody tr')]"
            ".filter(row => row.checkVisibility()).map(row => row.dataset.level)"
        )

    assert shown() == ["L1"]
    click(driver, "#all")
    assert shown() == [row["level"] for row in make_about().lists.vertebrae]
    click(driver, "#all")


def test_print_gives_at_most_two_pages(driver):
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    document = base64.b64decode(printed["data"])
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 2


def test_a_whole_spine_with_many_findings_is_printed_on_two_pages_in_japanese_too(driver, tmp_path):
    scene, about = make_scene(), make_about()
    likely, healthy = about.lists.vertebrae
    rows = [
        (likely if number % 3 == 1 else healthy) | {"level": level, "fractured": number % 3 == 1}
        for number, level in enumerate(LEVELS)
    ]
    lists = CaseLists(rows, about.lists.lesions * 5)
    write_case_page(scene, about._replace(lists=lists), None, (), tmp_path / "page.html")
    before = driver.current_url
    driver.get((tmp_path / "page.html").as_uri())
    try:
        loaded(driver)
        for language in ("en", "ja"):
            driver.execute_script("document.documentElement.lang = arguments[0]", language)
            printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
            document = base64.b64decode(printed["data"])
            assert 1 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 2, language
    finally:
        driver.get(before)
        loaded(driver)


def test_the_language_is_switched_and_remembered(driver):
    assert text(driver, "h1").startswith("Vertebral fractures")
    click(driver, "#language")
    assert text(driver, "h1").startswith("椎体骨折")
    assert "Vertebral" not in driver.execute_script("return document.body.innerText")
    driver.refresh()
    loaded(driver)
    assert text(driver, "h1").startswith("椎体骨折")
    assert "L1：骨折の可能性が高い（0.93）" in text(driver, "#findings")
    click(driver, "#language")
    assert text(driver, "h1").startswith("Vertebral fractures")


def test_a_narrow_screen_has_nothing_beside_it(driver):
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_keyboard_are_as_they_should_be(driver, scheme):
    assert what_axe_finds(driver, scheme) == []
