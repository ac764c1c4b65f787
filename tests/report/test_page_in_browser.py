"""The page of a CT in a real browser: one page, one session, what a reader does with it."""

import base64
import dataclasses
import importlib.util
import re

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.browser import open_browser, requests_of, what_axe_finds
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case_page import write_case_page
from vfseg.report.scene import predicted
from vfseg.report.solids import build_solids

_SECONDS = 60  # of a busy machine; the page is there within two


@pytest.fixture(scope="module")
def scene():
    scene = make_scene()
    return dataclasses.replace(scene, threshold=0.4137, uncertainty=0.2 * scene.probability)


@pytest.fixture(scope="module")
def driver(scene, tmp_path_factory):
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    folder = tmp_path_factory.mktemp("page")
    write_case_page(scene, make_about(), build_solids(scene), (), folder / "page.html")
    driver = open_browser(folder / "profile")
    driver.set_script_timeout(_SECONDS)
    driver.get((folder / "page.html").as_uri())
    loaded(driver)
    yield driver
    driver.quit()


def wait_until(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, _SECONDS, 0.1).until(lambda d: d.execute_script(f"return {condition}"))


def loaded(driver):
    """Waits until the planes are there, and the solid, which comes last."""
    wait_until(driver, "document.body.dataset.solid === 'yes'")
    settled(driver)


def text(driver, selector):
    return driver.execute_script(f"return document.querySelector('{selector}').innerText.trim()")


def pixels(driver, viewer):
    """What a viewer shows now, drawn anew, as a digest."""
    script = """
      const viewer = window.viewers[arguments[0]], gl = viewer.gl;
      viewer.drawScene();
      const shown = new Uint32Array(gl.drawingBufferWidth * gl.drawingBufferHeight);
      gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA,
                    gl.UNSIGNED_BYTE, new Uint8Array(shown.buffer));
      return shown.reduce((sum, pixel) => (Math.imul(sum, 31) + pixel) | 0, 0);
    """
    return driver.execute_script(script, viewer)


def settled(driver):
    """Waits until the planes show where the controls stand."""
    wait_until(driver, "document.body.dataset.ready === 'yes'")


def place(driver):
    """Where the crosshair is, RAS+ mm."""
    script = "return [...viewers.planes.frac2mm(viewers.planes.scene.crosshairPos, 0, true)]"
    return np.array(driver.execute_script(script)[:3])


def set_slider(driver, value):
    """Moves the slider; what the page says at once, before it draws the planes."""
    said = driver.execute_script(
        "const s = document.getElementById('threshold'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input')); return document.getElementById('ml').textContent",
        value,
    )
    settled(driver)
    return said


def press(driver, selector, *keys):
    from selenium.webdriver.common.by import By

    driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)


def click(driver, selector):
    driver.execute_script("document.querySelector(arguments[0]).click()", selector)
    settled(driver)


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

    for canvas, by in (("planes", (-60, 20)), ("curved", (10, 40))):
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
    press(driver, "#solid", *[Keys.ARROW_RIGHT] * 4)
    assert pixels(driver, "solid") != shown
    press(driver, "#threshold", Keys.ARROW_RIGHT)
    assert text(driver, "#at") == "0.420"
    click(driver, "#model-threshold")


def test_a_hand_turns_the_solid(driver):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    before = pixels(driver, "solid")
    solid = driver.find_element(By.ID, "solid")
    ActionChains(driver).move_to_element(solid).click_and_hold().move_by_offset(
        50, 10
    ).release().perform()
    assert pixels(driver, "solid") != before


def test_print_gives_at_most_two_pages(driver):
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    document = base64.b64decode(printed["data"])
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 2


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
