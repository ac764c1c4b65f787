"""The pages without a viewer in a real browser: of a run, of a data set, of a folder of CTs."""

import pytest

from tests.audit.data_set import audit, sheet, write_case
from tests.browser import open_browser, requests_of, what_axe_finds
from tests.report.listed import make_about
from tests.report.scene import make_scene
from tests.report.test_cases_page import healthy, likely, write_results
from tests.report.test_page import fill
from vfseg.audit.page import write_audit_page
from vfseg.evaluation.verdict import REVIEW
from vfseg.report import case_page
from vfseg.report.case_lists import CaseLists
from vfseg.report.cases_page import write_cases_page
from vfseg.report.page import write_page

PAGES = ("run", "data set", "folder")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_results(folder / "cts" / "a", likely(0.9), outside_training="slices 5 mm apart")
    write_results(folder / "cts" / "b", healthy())
    review = likely(0.4).vertebrae[0] | {"verdict": REVIEW}
    write_results(folder / "cts" / "c", CaseLists([review], []))
    run = write_page(folder / "run", fill(folder / "run", cases=("case-1",)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case_page, "niivue_module", lambda: None)  # pictures do for its words
        ct = folder / "run" / "report" / "case-1" / case_page.PAGE
        case_page.write_case_page(make_scene(), make_about(), None, (), ct)
    case = write_case(folder, "dots", seed=1, fractures=sheet(), patient="p")
    return {
        "run": run,
        "data set": write_audit_page(audit(case), [case], folder / "audit", progress=False),
        "folder": write_cases_page(folder / "cts", ["a", "b", "c"]),
    }


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_keyboard_are_as_they_should_be(driver, pages, name, scheme):
    driver.get(pages[name].as_uri())
    assert what_axe_finds(driver, scheme) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_screen_has_nothing_beside_it_that_no_key_reaches(driver, pages, name):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(pages[name].as_uri())
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    found = what_axe_finds(driver, "light")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 390
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_likely_fracture_and_a_vertebra_for_review_differ_in_colour_and_in_line(
    driver, pages, scheme
):
    driver.get(pages["folder"].as_uri())
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    looks = driver.execute_script(
        "return ['likely', 'review'].map((mark) => {"
        "  const look = getComputedStyle(document.querySelector(`.sentence.${mark}`));"
        "  return [look.borderLeftStyle, look.borderLeftColor]; })"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    (full, red), (broken, other) = looks
    assert (full, broken) == ("solid", "dashed")
    assert red != other


def test_the_page_of_a_folder_leads_to_the_page_of_a_ct_in_the_language_that_was_chosen(
    driver, pages
):
    driver.get(pages["folder"].as_uri())
    assert driver.execute_script("return document.body.innerText").count("fracture likely") == 1
    driver.execute_script("document.getElementById('language').click()")
    text = driver.execute_script("return document.body.innerText")
    assert "骨折の可能性が高い" in text
    assert "fracture likely" not in text
    driver.execute_script("document.querySelector('tbody a').click()")
    assert driver.current_url.endswith("/a/page.html")
    assert [url for url in requests_of(driver) if not url.startswith("file:")] == []


def test_the_page_of_a_run_is_switched_and_the_page_of_a_ct_follows(driver, pages):
    from selenium.webdriver.support.ui import WebDriverWait

    def shown():
        return driver.execute_script("return document.body.innerText")

    driver.get(pages["run"].as_uri())
    driver.execute_script("localStorage.setItem('vfseg.language', 'en')")
    driver.refresh()
    requests_of(driver)
    assert "Vertebral fracture map" in shown()
    assert "椎体骨折" not in shown()
    driver.execute_script("document.getElementById('language').click()")
    for language in ("ja", "ja after loading again"):
        assert "椎体骨折マップ" in shown(), language
        assert "Vertebral" not in shown()
        assert "Dice 係数" in shown()
        driver.refresh()
    driver.get((pages["run"].parent / "case-1" / "page.html").as_uri())
    assert "椎体一覧" in shown()
    driver.execute_script("document.getElementById('language').click()")
    driver.get(pages["run"].as_uri())
    # What one page keeps reaches the process of the next a moment later.
    WebDriverWait(driver, 60).until(
        lambda _: driver.refresh() or "Vertebral fracture map" in shown()
    )
    assert [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    assert [url for url in requests_of(driver) if not url.startswith("file:")] == []
