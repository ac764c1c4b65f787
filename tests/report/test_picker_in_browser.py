"""The page of `vfseg pick` in a real browser: bodies are clicked, one is named, a file comes."""

import importlib.util
import re
import time

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.browser import open_browser, requests_of, what_axe_finds
from tests.report.in_browser import place, text, wait_until
from tests.report.scene import make_scene
from vfseg.data.points import vertebrae_from_points
from vfseg.report.picker import write_picker

_SECONDS = 60


@pytest.fixture(scope="module")
def scene():
    return make_scene(degrees=15.0)


@pytest.fixture(scope="module")
def driver(scene, tmp_path_factory):
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    folder = tmp_path_factory.mktemp("page")
    write_picker("case", scene.ct, folder / "pick.html")
    driver = open_browser(folder / "profile")
    where = {"behavior": "allow", "downloadPath": str(folder)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    driver.folder = folder
    driver.get((folder / "pick.html").as_uri())
    wait_until(driver, "document.body.dataset.ready === 'yes'")
    yield driver
    driver.quit()


@pytest.fixture
def centres(driver, scene):
    """Middles of the bodies, voxels d h w, from the top down; the page as it was when it opened."""
    driver.execute_script(
        "while (document.querySelector('.remove')) document.querySelector('.remove').click()"
    )
    return [np.asarray(v.centre) for v in scene.spine.vertebrae]


def put(driver, scene, centre):
    """Moves the cross to a voxel and sets a point there."""
    parts = (centre + 0.5) / scene.ct.array.shape  # of the CT: the viewer's own measure
    driver.execute_script(
        "const [d, h, w] = arguments[0]; viewers.planes.scene.crosshairPos = [w, h, d];"
        "document.getElementById('add').click()",
        parts.tolist(),
    )


def name(driver, at, level):
    driver.execute_script(
        "const s = document.querySelectorAll('#points select')[arguments[0]];"
        "s.value = arguments[1]; s.dispatchEvent(new Event('change'))",
        *(at, level),
    )


def names(driver):
    script = "return [...document.querySelectorAll('#points select')].map(s => s.value)"
    return driver.execute_script(script)


def can_download(driver):
    return not driver.execute_script("return document.getElementById('download').disabled")


def marked(driver):
    """Voxels of the CT that are marked."""
    return driver.execute_script("return viewers.planes.volumes[1].img.reduce((a, b) => a + b, 0)")


def test_the_page_asks_for_nothing_and_complains_of_nothing(driver):
    assert requests_of(driver) == [driver.current_url]
    assert [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []


def test_what_is_clicked_and_named_is_what_points_takes(driver, scene, centres):
    for centre in reversed(centres):  # in any order
        put(driver, scene, centre)
    assert names(driver) == ["", ""]
    assert not can_download(driver)
    assert text(driver, "#said") == "Name one of them."
    name(driver, 1, "L2")
    assert names(driver) == ["L1", "L2"]
    driver.find_element("id", "download").click()
    file, until = driver.folder / "case_points.csv", time.monotonic() + _SECONDS
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    found, _ = vertebrae_from_points(file, scene.ct.geometry)
    assert [v.level for v in found] == ["L1", "L2"]
    lines = [line.split(",") for line in file.read_text().splitlines()]
    assert lines[0] == ["level", "x", "y", "z"]
    spacing = max(scene.ct.voxel_spacing)
    for (_, *mm), centre in zip(lines[1:], centres, strict=True):
        expected = apply_affine(scene.ct.affine, centre)
        np.testing.assert_allclose(np.array(mm, float), expected, atol=spacing)


def test_a_click_in_a_plane_sets_a_point_and_a_drag_does_not(driver, centres):
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = driver.find_element("id", "planes")
    ActionChains(driver).move_to_element_with_offset(canvas, -120, -120).click().perform()
    assert len(names(driver)) == 1
    assert marked(driver) > 0
    there = place(driver)
    shown = float(text(driver, "#points .go").split("z ")[1].removesuffix(" mm"))
    assert shown == pytest.approx(there[2], abs=0.51)
    drag = ActionChains(driver).move_to_element_with_offset(canvas, -120, -120)
    drag.click_and_hold().move_by_offset(40, 30).release().perform()
    assert np.abs(place(driver) - there).max() > 1
    assert len(names(driver)) == 1


def test_a_second_click_into_a_body_moves_its_point(driver, scene, centres):
    put(driver, scene, centres[0])
    once = marked(driver)
    put(driver, scene, centres[0] + [0, 0, 2])
    assert len(names(driver)) == 1
    assert marked(driver) == pytest.approx(once, rel=0.5)
    put(driver, scene, centres[1])
    assert len(names(driver)) == 2


def test_a_point_can_be_removed_and_its_name_goes_with_it(driver, scene, centres):
    for centre in centres:
        put(driver, scene, centre)
    name(driver, 0, "T12")
    assert names(driver) == ["T12", "L1"]
    driver.execute_script("document.querySelector('.remove').click()")
    assert names(driver) == [""]
    driver.execute_script("document.querySelector('.remove').click()")
    assert text(driver, "#said") == "No point yet."
    assert marked(driver) == 0


def test_names_that_do_not_reach_are_said(driver, scene, centres):
    for centre in centres:
        put(driver, scene, centre)
    name(driver, 0, "L5")
    assert names(driver) == ["L5", ""]
    assert not can_download(driver)
    assert text(driver, "#said") == "There is no name for all: check it."


def test_the_language_is_that_of_the_page_of_a_case_and_is_switched(driver, scene, centres):
    put(driver, scene, centres[0])
    driver.find_element("id", "language").click()
    shown = driver.execute_script("return document.body.innerText")
    labels = driver.execute_script(
        "return [...document.querySelectorAll('#points [aria-label]')].map(e => e.ariaLabel)"
    )
    driver.find_element("id", "language").click()
    assert "椎体の位置の指定" in shown
    assert "いずれか 1 つの椎体名を選んでください。" in shown
    assert not re.search("vertebra|Click|Download|Name|Research", shown)
    assert labels == ["1 番目の椎体名", "1 番目の椎体を削除"]
    assert text(driver, "#said") == "Name one of them."
    assert names(driver) == [""], "the point stays"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_keyboard_are_as_they_should_be(driver, scene, centres, scheme):
    put(driver, scene, centres[0])
    assert what_axe_finds(driver, scheme) == []
