"""The viewer in the page of a CT, in a real browser: one page, one session, what a reader does."""

import re

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.browser import requests_of
from tests.report.in_browser import (
    click,
    loaded,
    opened_page,
    pixels,
    place,
    press,
    set_slider,
    shown_scene,
    text,
)
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case_page import write_case_page
from vfseg.report.scene import predicted
from vfseg.report.solids import build_solids


@pytest.fixture(scope="module")
def scene():
    return shown_scene()


@pytest.fixture(scope="module")
def driver(scene, tmp_path_factory):
    with opened_page(scene, tmp_path_factory.mktemp("page")) as driver:
        yield driver


def test_the_page_asks_for_nothing_and_complains_of_nothing(driver):
    assert requests_of(driver) == [driver.current_url]
    assert [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []


def test_the_browser_is_told_to_refuse_the_network(driver):
    refused = driver.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', e => done(e.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {})"
    )
    assert refused == "connect-src"
    driver.get_log("browser")  # it complains, as it should


def test_it_begins_at_the_surest_lesion(driver):
    voxel = driver.execute_script("return viewers.planes.volumes[0].pixDims[1]")
    assert np.abs(place(driver) - [35.0, 38.5, 54.75]).max() <= 2 * voxel
    assert re.search(r"i, j, k \d+, \d+, \d+ · -?\d+ HU · p 0\.\d\d", text(driver, "#place"))


def test_the_slider_changes_the_map_and_its_volume(driver, scene):
    count = driver.execute_script("return Number(document.getElementById('threshold').max)")
    assert count == 100  # 0.01 to 1 and the model's own
    voxel_ml = float(np.prod(scene.ct.voxel_spacing)) / 1000
    seen = []
    for step in (39, 95):  # below and above the 0.9 of the sheet
        said = set_slider(driver, step)
        threshold = float(text(driver, "#at"))
        expected = np.count_nonzero(predicted(scene.probability, threshold)) * voxel_ml
        assert said == text(driver, "#ml") == f"{expected:.2f} mL"
        seen.append((pixels(driver, "planes"), text(driver, "#ml")))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1] == "0.00 mL"
    click(driver, "#model-threshold")
    assert text(driver, "#at") == "0.414"


def test_what_does_not_reach_the_threshold_is_not_shown(driver):
    click(driver, "#truth")
    set_slider(driver, 95)  # above the 0.9 of the sheet
    above = pixels(driver, "planes")
    click(driver, "#heat")
    without = pixels(driver, "planes")
    click(driver, "#heat")
    click(driver, "#model-threshold")
    there = pixels(driver, "planes")
    click(driver, "#truth")
    assert above == without != there


@pytest.mark.parametrize("toggle", ["heat", "truth", "uncertainty"])
def test_every_layer_can_be_shown_and_hidden(driver, toggle):
    before = pixels(driver, "planes")
    click(driver, f"#{toggle}")
    assert pixels(driver, "planes") != before
    click(driver, f"#{toggle}")
    assert pixels(driver, "planes") == before


def test_a_window_changes_the_planes_and_the_picture_along_the_spine(driver):
    def curved():
        return driver.execute_script("return document.getElementById('curved').toDataURL()")

    before = pixels(driver, "planes"), curved()
    click(driver, "button[data-window='-160.0 240.0']")
    after = pixels(driver, "planes"), curved()
    assert before[0] != after[0]
    assert before[1] != after[1]
    click(driver, "button[data-window='-400.0 1200.0']")
    assert (pixels(driver, "planes"), curved()) == before


@pytest.mark.parametrize(
    "selector",
    [
        "#vertebrae tr[data-level=L2] .go",
        "#vertebrae tr[data-level=L2] td",
        ".levels .go:nth-child(2)",
    ],
)
def test_a_click_on_a_vertebra_goes_there_in_all_views(driver, scene, selector):
    click(driver, "#lesions .go")
    np.testing.assert_allclose(place(driver), [35.0, 38.5, 54.75], atol=2.0)
    line = "document.querySelector('.curved .row').style.top"
    turned, before = pixels(driver, "solid"), driver.execute_script(f"return {line}")
    click(driver, selector)
    expected = apply_affine(scene.ct.affine, scene.spine.vertebrae[1].centre)
    np.testing.assert_allclose(place(driver), expected, atol=2.0)
    assert driver.execute_script(f"return {line}") != before
    assert pixels(driver, "solid") != turned


def close_up(driver):
    """How far the planes are enlarged; pixels of the cross and the middle of the axial one."""
    zoom, cross, tile = driver.execute_script(
        "const p = viewers.planes, tile = p.screenSlices.find((one) => one.axCorSag === 0);"
        "return [p.scene.pan2Dxyzmm[3], [...p.frac2canvasPosWithTile(p.scene.crosshairPos, 0).pos],"
        "  [...tile.leftTopWidthHeight]]"
    )
    left, top, width, height = tile
    return zoom, cross, [left + width / 2, top + height / 2]


def test_on_an_oblique_ct_a_click_on_a_vertebra_goes_there_and_comes_close(tmp_path, driver):
    """By NiiVue's own whole affine; the one that it uses unasked leaves the rotation out."""
    scene = make_scene(degrees=15.0)
    write_case_page(scene, make_about(), build_solids(scene), (), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("CLOSE_MM = 80") == 1
    (tmp_path / "page.html").write_text(page.replace("CLOSE_MM = 80", "CLOSE_MM = 20"))
    before = driver.current_url
    driver.get((tmp_path / "page.html").as_uri())
    try:
        loaded(driver)
        centre = apply_affine(scene.ct.affine, scene.spine.vertebrae[1].centre)
        for level, expected in (("L2", centre), ("L1", [35.0, 38.5, 54.75])):
            click(driver, f"#vertebrae tr[data-level={level}] .go")
            np.testing.assert_allclose(place(driver), expected, atol=2.0)
            zoom, cross, middle = close_up(driver)
            assert zoom == pytest.approx(60 / 20)  # the CT is 60 mm deep
            np.testing.assert_allclose(cross, middle, atol=2)
        click(driver, "#close")
        assert driver.execute_script("return viewers.planes.scene.pan2Dxyzmm[3]") == 1
    finally:
        driver.get(before)
        loaded(driver)


def test_a_click_in_the_planes_and_along_the_spine_moves_the_crosshair(driver):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    left, top, wide, tall = driver.execute_script(
        "const tile = viewers.planes.screenSlices.find((one) => one.axCorSag === 0);"
        "return [...tile.leftTopWidthHeight]"
    )
    whole = driver.execute_script(
        "const { width, height } = viewers.planes.gl.canvas; return [width, height]"
    )
    quarter = (left + wide / 4 - whole[0] / 2, top + tall / 4 - whole[1] / 2)
    for canvas, by in (("planes", quarter), ("curved", (10, 40))):
        before = place(driver)
        element = driver.find_element(By.ID, canvas)
        ActionChains(driver).move_to_element_with_offset(element, *by).click().perform()
        assert np.abs(place(driver) - before).max() > 1


def test_the_keyboard_moves_the_crosshair_and_turns_the_solid(driver):
    from selenium.webdriver.common.keys import Keys

    click(driver, "#lesions .go")
    before = place(driver)
    press(driver, "#planes", Keys.ARROW_UP)
    assert place(driver)[2] > before[2]  # towards the head
    press(driver, "#planes", Keys.ARROW_LEFT)
    assert place(driver)[0] > before[0]  # towards the patient's right
    shown = pixels(driver, "solid")
    press(driver, "#solid", *[Keys.ARROW_RIGHT] * 4, "?")
    assert pixels(driver, "solid") != shown
    press(driver, "#planes", "?")
    assert [e for e in driver.get_log("browser") if e["level"] == "SEVERE"] == []
    press(driver, "#threshold", Keys.ARROW_RIGHT)
    assert text(driver, "#at") == "0.420"
    click(driver, "#model-threshold")


@pytest.mark.parametrize("canvas", ["planes", "solid"])
def test_what_the_keyboard_moves_is_seen_to_be_chosen(driver, canvas):
    from selenium.webdriver.common.keys import Keys

    outline = f"getComputedStyle(document.querySelector('#{canvas}').parentElement).outlineStyle"
    press(driver, "#model-threshold", Keys.SHIFT)  # a key, not a pointer
    assert driver.execute_script(f"return {outline}") == "none"
    driver.execute_script(f"document.getElementById('{canvas}').focus()")
    assert driver.execute_script(f"return {outline}") == "solid"


def test_the_right_button_leaves_the_window_of_the_planes_alone(driver):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.mouse_button import MouseButton
    from selenium.webdriver.common.by import By

    planes = driver.find_element(By.ID, "planes")
    click(driver, "#vertebrae tr[data-level=L1] .go")
    before = pixels(driver, "planes")
    drag = ActionChains(driver).move_to_element_with_offset(planes, -90, 20)
    drag.w3c_actions.pointer_action.pointer_down(MouseButton.RIGHT)
    drag.move_by_offset(60, 40)
    drag.w3c_actions.pointer_action.pointer_up(MouseButton.RIGHT)
    drag.perform()
    click(driver, "#vertebrae tr[data-level=L1] .go")
    assert pixels(driver, "planes") == before


def test_a_hand_turns_the_solid(driver):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    before = pixels(driver, "solid")
    solid = driver.find_element(By.ID, "solid")
    ActionChains(driver).move_to_element(solid).click_and_hold().move_by_offset(
        50, 10
    ).release().perform()
    assert pixels(driver, "solid") != before
