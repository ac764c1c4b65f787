"""What the page of a CT does until it says that it is there."""

import importlib.util

import pytest

from tests.browser import open_browser
from tests.report.listed import make_about
from tests.report.scene import make_scene
from tests.report.test_page_in_browser import loaded
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


def test_the_solid_is_drawn_once_and_the_page_is_there_when_it_is(tmp_path):
    """Else the first move of the slider waits for pictures that nobody asked for."""
    if importlib.util.find_spec("ipyniivue") is None:
        pytest.skip("needs the extra report")
    scene = make_scene()
    write_case_page(scene, make_about(), build_solids(scene), (), tmp_path / "page.html")
    driver = open_browser(tmp_path / "profile")
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.get((tmp_path / "page.html").as_uri())
        loaded(driver)
        assert driver.execute_script("return window.finished") == [True]
    finally:
        driver.quit()
