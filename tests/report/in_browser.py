"""What tests do with the page of a CT in a browser."""

import dataclasses
import importlib.util
from contextlib import contextmanager

import numpy as np
import pytest

from tests.browser import open_browser
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case_page import write_case_page
from vfseg.report.solids import build_solids

_SECONDS = 60  # of a busy machine; the page is there within two


def shown_scene():
    """A case with truth, uncertainty and a threshold between the steps of the slider."""
    scene = make_scene()
    return dataclasses.replace(scene, threshold=0.4137, uncertainty=0.2 * scene.probability)


@contextmanager
def opened_page(scene, folder):
    """A driver at the page of a scene, loaded."""
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    write_case_page(scene, make_about(), build_solids(scene), (), folder / "page.html")
    driver = open_browser(folder / "profile")
    try:
        driver.set_script_timeout(_SECONDS)
        driver.get((folder / "page.html").as_uri())
        loaded(driver)
        yield driver
    finally:
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
