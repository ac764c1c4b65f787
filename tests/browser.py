"""Chromium without a window, for the tests of pages; it computes its own graphics."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--window-size=1200,1000", "--lang=en-US"),
)


def open_browser(profile):
    """A driver of Chromium that writes down what its pages log and ask for.

    Args:
        profile: folder of what it keeps.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs Chromium and its driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the extra test")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def requests_of(driver):
    """Addresses that the page asked for since the last call, its own first; no data within it."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    own = [params for params in sent if params["documentURL"] == driver.current_url]
    asked = [params["request"]["url"] for params in own]
    return [url for url in asked if not url.startswith(("data:", "blob:"))]


def what_axe_finds(driver, scheme):
    """What axe-core finds wrong with the page, its contrast included: rule, and where.

    Args:
        driver: at the page.
        scheme: "light" or "dark".
    """
    package = importlib.util.find_spec("axe_playwright_python")  # importing it imports Playwright
    if package is None:
        pytest.skip("needs the extra test")
    axe = Path(package.submodule_search_locations[0]) / "axe.min.js"
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.execute_script(axe.read_text())
    found, checked = driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run().then(({ violations, passes }) => done(["
        "  violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),"
        "  passes.map(({ id }) => id)]));"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert "color-contrast" in checked
    return found
