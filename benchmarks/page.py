"""How fast the page of a CT is in a browser: `python -m benchmarks.page PAGE.html`.

Chromium without a window and without a graphics card opens a page that `vfseg predict` wrote, and
moves the slider of the threshold. Prints when the first picture stood, which is the one along the
spine, when the planes did, and how long these needed until they showed where the slider was. Needs
the extra `test`, Chromium and its driver.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.browser import open_browser

_MOVES = 20
_MOVE = """
const [step, done] = arguments, slider = document.getElementById("threshold");
slider.value = step;
const start = performance.now();
slider.dispatchEvent(new Event("input"));
const look = () => {
  if (document.body.dataset.ready === "yes") done(performance.now() - start);
  else setTimeout(look, 1);
};
look();
"""
_STARTED = """
const done = arguments[0], gl = document.querySelector("canvas").getContext("webgl2");
gl.clear(gl.COLOR_BUFFER_BIT);
requestAnimationFrame(() => requestAnimationFrame(() => done()));
"""
# When the page says that something is there, ms since it was asked for.
_WATCH = """
window.there = {};
new MutationObserver(() => {
  for (const [what, is] of Object.entries(document.body?.dataset ?? {}))
    if (is === "yes") window.there[what] ??= performance.now();
}).observe(document, { attributes: true, subtree: true });
"""


def main() -> None:
    """Measures the page that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page.resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = open_browser(profile)
        driver.set_script_timeout(60)
        # A reader's browser runs already: its own start is not the page's.
        driver.get("data:text/html,<canvas></canvas>")
        driver.execute_async_script(_STARTED)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        driver.get(page.as_uri())
        if not driver.execute_script("return document.getElementById('threshold')"):
            driver.quit()
            raise SystemExit(f"{page}: no page with a viewer (pip install -e '.[report]')")
        while "solid" not in (there := driver.execute_script("return window.there")):
            time.sleep(0.1)
        steps = int(driver.execute_script("return document.getElementById('threshold').max"))
        moves = [
            driver.execute_async_script(_MOVE, 1 + (7 * move) % steps) for move in range(_MOVES)
        ]
        size = driver.execute_script("return window.viewers.planes.volumes[0].dimsRAS.slice(1)")
        driver.quit()
    print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, {'x'.join(map(str, size))} voxels")
    first, planes = there["along"] / 1000, there["ready"] / 1000
    print(f"first picture after {first:.1f} s, planes after {planes:.1f} s")
    print(f"slider: median {statistics.median(moves):.0f} ms, slowest {max(moves):.0f} ms")


if __name__ == "__main__":
    main()
