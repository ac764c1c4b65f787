"""The page of a CT where a browser lacks something, stops the graphics, or is hurried."""

import dataclasses
import importlib.util
from contextlib import contextmanager

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.browser import open_browser
from tests.report.in_browser import click, loaded, place, text, wait_until
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.drawing.figures import Picture
from vfseg.report.case_page import write_case_page
from vfseg.report.solids import build_solids

NO_GRAPHICS = """
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...given) {
  return kind === "webgl2" && WHERE ? null : get.call(this, kind, ...given);
};
"""
# As soon as the page listens, and before the planes are ready.
HURRY = """
new MutationObserver((_, observer) => {
  if (document.body.dataset.along !== "yes") return;
  observer.disconnect();
  for (const id of ["planes", "solid"])
    document.getElementById(id).dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp" }));
  document.querySelector("#vertebrae tr[data-level=L2] .go").click();
}).observe(document, { attributes: true, subtree: true });
"""


@pytest.fixture(scope="module")
def scene():
    scene = make_scene()
    return dataclasses.replace(scene, uncertainty=0.2 * (1 - scene.probability))


@pytest.fixture(scope="module")
def driver(scene, tmp_path_factory):
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    folder = tmp_path_factory.mktemp("page")
    picture = folder / "spine.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    pictures = [Picture(picture, {"en": "the spine", "ja": "脊柱"})]
    write_case_page(scene, make_about(), build_solids(scene), pictures, folder / "page.html")
    driver = open_browser(folder / "profile")
    driver.page = (folder / "page.html").as_uri()
    yield driver
    driver.quit()


@contextmanager
def opened(driver, script=""):
    """The page, before which a script has run."""
    before = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        driver.get(driver.page)
        yield
        errors = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
        assert errors == []
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", before)


def seen(driver, selector):
    return driver.execute_script(f"return document.querySelector('{selector}').checkVisibility()")


def move_slider(driver, step):
    """Moves the slider; the volume that the page says."""
    return driver.execute_script(
        "const s = document.getElementById('threshold'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input')); return document.getElementById('ml').textContent",
        step,
    )


def curved(driver):
    return driver.execute_script("return document.getElementById('curved').toDataURL()")


def test_without_webgl_the_spine_its_layers_and_the_volume_are_there(driver):
    with opened(driver, NO_GRAPHICS.replace("WHERE", "true")):
        wait_until(driver, "!document.getElementById('no-webgl').hidden")
        assert "WebGL 2" in text(driver, "#no-webgl")
        assert not seen(driver, ".planes")
        assert seen(driver, "#pictures img")
        shown = [curved(driver)]
        for layer in ("heat", "uncertainty", "truth"):
            driver.execute_script(f"document.getElementById('{layer}').click()")
            shown.append(curved(driver))
        assert len(set(shown)) == 4
        assert move_slider(driver, 99) == "0.00 mL" != move_slider(driver, 10)


def test_a_browser_that_unpacks_nothing_says_so(driver):
    with opened(driver, "delete window.DecompressionStream"):
        wait_until(driver, "!document.getElementById('no-webgl').hidden")
        assert seen(driver, "#pictures img")


def test_where_only_the_view_in_3d_does_not_start_the_planes_do(driver):
    with opened(driver, NO_GRAPHICS.replace("WHERE", "this.id === 'solid'")):
        wait_until(driver, "!document.getElementById('no-solid').hidden")
        assert seen(driver, "#planes")
        assert not seen(driver, "#solid")
        assert not seen(driver, "#no-webgl")
        assert seen(driver, "#pictures img")
        before = place(driver)
        click(driver, "#vertebrae tr[data-level=L2] .go")
        assert np.abs(place(driver) - before).max() > 1


def test_whoever_clicks_before_the_planes_are_there_finds_them_at_that_place(driver, scene):
    with opened(driver, HURRY):
        loaded(driver)
        expected = apply_affine(scene.ct.affine, scene.spine.vertebrae[1].centre)
        np.testing.assert_allclose(place(driver), expected, atol=2.0)


@pytest.mark.parametrize(("lost", "left"), [("planes", "curved"), ("solid", "planes")])
def test_graphics_that_the_browser_stops_are_not_left_black(driver, lost, left):
    note = {"planes": "no-webgl", "solid": "no-solid"}[lost]
    with opened(driver):
        loaded(driver)
        driver.execute_script(f"viewers.{lost}.gl.getExtension('WEBGL_lose_context').loseContext()")
        wait_until(driver, f"!document.getElementById('{note}').hidden")
        assert not seen(driver, f"#{lost}")
        assert seen(driver, f"#{left}")
        driver.execute_script("document.querySelector('#vertebrae tr[data-level=L2] .go').click()")
        assert move_slider(driver, 99) == "0.00 mL" != move_slider(driver, 10)
        wait_until(driver, "document.body.dataset.ready === 'yes'")
