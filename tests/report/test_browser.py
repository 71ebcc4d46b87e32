"""The page in a real browser: sorting, filtering, sums and flicker work, and nothing is reported on its console."""

import math
import os
import shutil
import time

import numpy as np
import pytest

from eigexp.report.page import write_page
from eigexp.store import Store
from tests.report.test_page import EVIL, write_evil
from tests.store.fakes import fake_image, write_fake

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver")
QUIET = (
    "headless disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync "
    "disable-dev-shm-usage"
)
CANVAS = "return Array.from(document.querySelectorAll('{} canvas')[{}].getContext('2d').getImageData(0, 0, 16, 16).data)"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("store") / "résultats"
    for i, model in enumerate(("ln", "onoff", "lgg")):
        write_fake(root, model, fake_image((1, 16, 16), "camera", seed=i), fisher_vector_products=[90.0, 1000.0, 200.0][i])
    write_fake(root, "resnet18", fake_image((3, 16, 16), "coins"))
    write_fake(root, "tone", fake_image((30,), "tone"))
    write_evil(root)
    return root, write_page(Store(root), root.parent / "page.html", scale=2.0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*QUIET.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}", "window-size=1280,1000"):
        options.add_argument(f"--{flag}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(page, browser):
    browser.get(page[1].as_uri())
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    for card in browser.find_elements("css selector", ".card:has(canvas)"):
        browser.execute_script("arguments[0].scrollIntoView()", card)
        wait(lambda card=card: "clipped" in card.find_element("css selector", ".clipped").text)
    browser.execute_script("window.scrollTo(0, 0)")
    yield browser
    assert browser.get_log("browser") == []


def wait(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def column(browser, at: int) -> list[str]:
    rows = browser.find_elements("css selector", "#table tbody tr")
    return [row.find_elements("tag name", "td")[at].text for row in rows if row.is_displayed()]


def test_nothing_of_a_name_runs(opened):
    assert opened.title == "eigexp report"
    assert EVIL in [link.text for link in opened.find_elements("css selector", "#table a")]
    assert opened.execute_script("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0


def test_numbers_sort_as_numbers_both_ways_and_cards_follow(opened):
    header = opened.find_elements("css selector", "#table th button")[9]
    header.click()
    products = [float(text.replace(",", "")) for text in column(opened, 9)]
    assert products == sorted(products)
    assert products[-1] == 1000
    header.send_keys("\ue007")  # Enter, as a keyboard's user would
    assert [float(text.replace(",", "")) for text in column(opened, 9)] == products[::-1]
    assert header.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    order = [row.get_attribute("data-card") for row in opened.find_elements("css selector", "#table tbody tr")]
    assert [card.get_attribute("id") for card in opened.find_elements("css selector", ".card")] == order


def test_filter_hides_rows_and_cards(opened):
    box = opened.find_element("id", "filter")
    box.send_keys("CAMERA onoff")
    assert column(opened, 0) == ["onoff"]
    assert len([card for card in opened.find_elements("css selector", ".card") if card.is_displayed()]) == 1
    assert opened.find_element("id", "count").text == "1 shown"
    box.send_keys("\ue009a\ue000\ue017")  # select all, delete
    assert len(column(opened, 0)) == 6


def choose(browser, column: int, text: str) -> None:
    menu = browser.find_element("css selector", f"select.choice[data-column='{column}']")
    next(option for option in menu.find_elements("tag name", "option") if option.text == text).click()


def test_menus_choose_a_model_and_an_image_together_with_the_words(opened):
    choose(opened, 2, "camera")
    assert sorted(column(opened, 0)) == ["lgg", "ln", "onoff"]
    choose(opened, 0, "ln")
    assert column(opened, 0) == ["ln"]
    opened.find_element("id", "filter").send_keys("nothing has this")
    assert opened.find_element("id", "count").text == "0 shown"
    opened.find_element("id", "filter").send_keys("\ue009a\ue000\ue017")
    choose(opened, 0, "all")
    choose(opened, 2, "all")
    assert len(column(opened, 0)) == 6


def test_a_menu_shows_and_chooses_even_a_name_that_is_markup(opened):
    choose(opened, 0, EVIL)
    assert column(opened, 0) == [EVIL]
    assert opened.title == "eigexp report"


def test_the_tab_key_reaches_everything_that_can_be_used(opened):
    usable = "a[href], button, input, select, [tabindex='0']"
    wanted = opened.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0])).filter(e => e.offsetParent !== null).length", usable
    )
    opened.execute_script("document.activeElement.blur(); window.scrollTo(0, 0); window.seen = new Set()")
    body = opened.find_element("tag name", "body")
    for _ in range(wanted + 2):
        (opened.switch_to.active_element or body).send_keys("\ue004")
        opened.execute_script("if (document.activeElement.matches(arguments[0])) window.seen.add(document.activeElement)", usable)
    assert opened.execute_script("return window.seen.size") == wanted


def find_result(root, model: str):
    store = Store(root)
    return next(result for id in store.ids() if (result := store.read(id)).record["model"] == model)


@pytest.mark.parametrize("model", ["onoff", "resnet18"])
def test_canvas_is_the_sum(page, opened, model):
    result = find_result(page[0], model)
    for at in range(2):
        pixels = np.array(opened.execute_script(CANVAS.format(f"#r-{result.id}", at))).reshape(16, 16, 4)[..., :3]
        wanted = np.clip(np.moveaxis(result.image + 2.0 * result.eigendistortions[at], 0, -1), 0, 1) * 255
        allowed = 2.0 * np.abs(result.eigendistortions[at]).max() * 255 / 254 + 1.01  # half a level of each part
        assert np.abs(pixels - wanted).max() <= allowed


def test_slider_scales_by_keyboard_and_reset_returns(page, opened):
    card = opened.find_element("id", f"r-{find_result(page[0], 'onoff').id}")
    slider, value = card.find_element("class name", "scale"), card.find_element("class name", "value")
    script = CANVAS.format(f"#{card.get_attribute('id')}", 0)
    before = opened.execute_script(script)
    slider.send_keys("\ue014" * 30)  # right arrow
    assert math.isclose(float(value.text), 2 * 10**0.3, rel_tol=0.01)
    assert opened.execute_script(script) != before
    slider.send_keys("\ue010")  # End
    assert float(value.text) == 20
    assert "% of values clipped" in card.find_element("class name", "clipped").text
    card.find_element("class name", "reset").click()
    assert float(value.text) == 2
    assert opened.execute_script(script) == before


def test_flicker_alternates_and_stops(page, opened):
    result = find_result(page[0], "onoff")
    card = opened.find_element("id", f"r-{result.id}")
    button, script = card.find_element("class name", "flicker"), CANVAS.format(f"#r-{result.id}", 0)
    distorted = opened.execute_script(script)
    button.send_keys(" ")
    assert button.get_attribute("aria-pressed") == "true"
    wait(lambda: card.get_attribute("data-showing") == "original")
    image = np.array(opened.execute_script(script)).reshape(16, 16, 4)[..., 0]
    assert np.abs(image - result.image[0] * 255).max() <= 0.51
    wait(lambda: card.get_attribute("data-showing") == "distorted")
    wait(lambda: card.get_attribute("data-showing") == "original")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert opened.execute_script(script) == distorted
    time.sleep(0.5)
    assert card.get_attribute("data-showing") == "distorted"


def test_reduced_motion_swaps_once(page, browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    browser.get(page[1].as_uri())
    card = browser.find_element("id", f"r-{find_result(page[0], 'onoff').id}")
    browser.execute_script("arguments[0].scrollIntoView()", card)
    wait(lambda: "clipped" in card.find_element("css selector", ".clipped").text)
    card.find_element("class name", "flicker").click()
    time.sleep(0.6)
    assert card.get_attribute("data-showing") == "original"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(page, browser, scheme):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get(page[1].as_uri())
    back = browser.find_element("tag name", "body").value_of_css_property("background-color")
    assert (contrast(back, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    for selector in ("h1", "td", "td a", ".muted", "figcaption", ".top figcaption", ".bottom figcaption", ".state", ".state.warn", "dt"):
        colour = browser.find_element("css selector", selector).value_of_css_property("color")
        assert contrast(back, colour) >= 4.5, selector
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_narrow_windows_do_not_scroll_sideways_and_paper_works(page, browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    browser.get(page[1].as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(page[1].as_uri())
    assert len(browser.print_page()) > 10_000
    summed = [span.get_attribute("textContent") for span in browser.find_elements("css selector", ".clipped")]
    assert len(summed) == 10 and all("clipped" in text for text in summed)  # also of cards that nobody has scrolled to
