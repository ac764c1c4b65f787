"""What the page of a CT does until it says that it is there."""

import importlib.util
import re

import pytest

from tests.browser import open_browser
from tests.report.in_browser import loaded, text, wait_until
from tests.report.listed import make_about
from tests.report.scene import make_scene
from vfseg.report.case_page import write_case_page
from vfseg.report.solids import build_solids

# Keeps a fence for each picture of the solid, and looks at all of them when the page is there.
WATCH = """
const fences = [];
let viewers = null;
Object.defineProperty(window, "viewers", { get: () => viewers, set(made) {
  viewers = made;
  const niivue = Object.getPrototypeOf(made.solid), draw = niivue.drawScene;
  niivue.drawScene = function (...given) {
    const drawn = draw.apply(this, given);
    if (this === made.solid && this.meshes.length)
      fences.push(this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE, 0));
    return drawn;
  };
  new MutationObserver(() => {
    if (document.body.dataset.solid !== "yes" || window.finished) return;
    const gl = made.solid.gl;
    window.finished = fences.map((f) => gl.getSyncParameter(f, gl.SYNC_STATUS) === gl.SIGNALED);
  }).observe(document.body, { attributes: true });
} });
"""


@pytest.fixture
def page(tmp_path):
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    scene = make_scene()
    write_case_page(scene, make_about(), build_solids(scene), (), tmp_path / "page.html")
    return tmp_path / "page.html"


@pytest.fixture
def driver(tmp_path):
    driver = open_browser(tmp_path / "profile")
    yield driver
    driver.quit()


def test_the_picture_along_the_spine_and_the_volume_wait_for_no_viewer(driver, page):
    """They are there, and follow threshold and clicks, while NiiVue has not yet come."""
    whole = page.read_text()
    begun = re.sub('<script type="module">.*', "", whole, flags=re.DOTALL)
    assert len(begun) < len(whole) / 4
    page.write_text(begun)
    driver.get(page.as_uri())
    wait_until(driver, "document.body.dataset.along === 'yes'")
    state = (
        "return [document.getElementById('curved').toDataURL(),"
        "  document.querySelector('.curved .row').style.top]"
    )
    picture, cross = driver.execute_script(state)
    assert text(driver, "#ml") != "0.00 mL"
    driver.execute_script(
        "const s = document.getElementById('threshold'); s.value = s.max;"
        "s.dispatchEvent(new Event('input'));"
        "document.querySelector('#vertebrae tr[data-level=L2] .go').click()"
    )
    assert text(driver, "#ml") == "0.00 mL"
    changed, moved = driver.execute_script(state)
    assert changed != picture
    assert moved != cross


def test_the_solid_is_drawn_once_and_the_page_is_there_when_it_is(driver, page):
    """Else the first move of the slider waits for pictures that nobody asked for."""
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    driver.get(page.as_uri())
    loaded(driver)
    assert driver.execute_script("return window.finished") == [True]
