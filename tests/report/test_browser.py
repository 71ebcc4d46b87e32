"""The page in a real browser: sorting, filtering, sums and flicker work, and nothing is reported on its console."""

import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from eigexp.report.page import write_page
from eigexp.store import Store
from tests.report.test_page import EVIL, write_evil
from tests.store.fakes import fake_image, write_fake

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]
QUIET = (
    "headless disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync "
    "disable-dev-shm-usage"
)
CANVAS = "return Array.from(document.querySelectorAll('{} canvas')[{}].getContext('2d').getImageData(0, 0, 16, 16).data)"
SHOT = "return document.querySelectorAll('{} canvas')[{}].dataset.showing"
AXE = "const done = arguments[0]; axe.run().then(r => done(r.violations.map(v => v.id + ': ' + v.nodes[0].html)))"


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


def wait(holds, seconds=900.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def headings(browser) -> list[str]:
    return [button.text for button in browser.find_elements("css selector", "#table th button")]


def column(browser, name: str) -> list[str]:
    at = headings(browser).index(name)
    rows = browser.find_elements("css selector", "#table tbody tr")
    return [row.find_elements("tag name", "td")[at].text for row in rows if row.is_displayed()]


def test_nothing_of_a_name_runs(opened):
    assert opened.title == "eigexp report"
    assert EVIL in [link.text for link in opened.find_elements("css selector", "#table a")]
    assert opened.execute_script("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0


def test_numbers_sort_as_numbers_both_ways_and_cards_follow(opened):
    header = opened.find_elements("css selector", "#table th button")[headings(opened).index("products")]
    header.click()
    products = [float(text.replace(",", "")) for text in column(opened, "products")]
    assert products == sorted(products)
    assert products[-1] == 1000
    header.send_keys("\ue007")  # Enter, as a keyboard's user would
    assert [float(text.replace(",", "")) for text in column(opened, "products")] == products[::-1]
    assert header.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    order = [row.get_attribute("data-id") for row in opened.find_elements("css selector", "#table tbody tr")]
    assert [card.get_attribute("id")[2:] for card in opened.find_elements("css selector", ".card")] == order


def displayed(browser, selector: str) -> list:
    return [found for found in browser.find_elements("css selector", selector) if found.is_displayed()]


def test_filters_hide_rows_cards_pictures_and_marks_and_the_address_holds_them(page, opened):
    box = opened.find_element("id", "filter")
    assert len(displayed(opened, ".desk .row")) == 6
    box.send_keys("CAMERA onoff")
    assert column(opened, "model") == ["onoff"]
    for selector in (".card", ".grid .cell", ".desk .row", ".desk .mark"):
        assert len(displayed(opened, selector)) == 1, selector
    assert opened.find_element("id", "count").text == "1 shown"
    marked = displayed(opened, ".desk .mark")[0].get_attribute("data-id")
    assert marked == find_result(page[0], "onoff").id
    address = opened.current_url
    assert address.endswith("#text=CAMERA+onoff")
    opened.get("about:blank")
    opened.get(address)
    assert column(opened, "model") == ["onoff"] and len(displayed(opened, ".desk .row")) == 1
    box = opened.find_element("id", "filter")
    box.send_keys("\ue009a\ue000\ue017")  # select all, delete
    assert len(column(opened, "model")) == len(displayed(opened, ".desk .row")) == 6


def choose(browser, name: str, text: str) -> None:
    menu = browser.find_element("css selector", f"select.choice[data-name='{name}']")
    next(option for option in menu.find_elements("tag name", "option") if option.text == text).click()


def test_menus_choose_a_model_and_an_image_together_with_the_words(opened):
    choose(opened, "image", "camera")
    assert sorted(column(opened, "model")) == ["lgg", "ln", "onoff"]
    choose(opened, "model", "ln")
    assert column(opened, "model") == ["ln"]
    assert "model=ln&image=camera" in opened.current_url
    opened.find_element("id", "filter").send_keys("nothing has this")
    assert opened.find_element("id", "count").text == "0 shown"
    opened.find_element("id", "filter").send_keys("\ue009a\ue000\ue017")
    choose(opened, "model", "all")
    choose(opened, "image", "all")
    assert len(column(opened, "model")) == 6


def test_a_menu_shows_and_chooses_even_a_name_that_is_markup(opened):
    choose(opened, "model", EVIL)
    assert column(opened, "model") == [EVIL]
    assert opened.title == "eigexp report"
    opened.refresh()
    assert column(opened, "model") == [EVIL]
    choose(opened, "model", "all")


def test_every_command_can_be_copied(opened):
    opened.execute_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard', {value: {writeText: t => { window.copied = t; }}})"
    )
    codes = opened.find_elements("css selector", "code.command")
    buttons = opened.find_elements("css selector", "button.copy")
    assert len(codes) == len(buttons) > 0
    opened.execute_script("arguments[0].click()", buttons[0])
    wait(lambda: buttons[0].text == "copied")
    assert opened.execute_script("return window.copied") == codes[0].text


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


@pytest.mark.parametrize("place", ["r", "g"])  # on the card, in the grid
@pytest.mark.parametrize("model", ["onoff", "resnet18"])
def test_canvas_is_the_sum_most_noticeable_first(page, opened, model, place):
    result = find_result(page[0], model)
    opened.execute_script("arguments[0].scrollIntoView()", opened.find_element("id", f"{place}-{result.id}"))
    wait(lambda: opened.execute_script(SHOT.format(f"#{place}-{result.id}", 1)) == "distorted")
    for at in range(2):
        pixels = np.array(opened.execute_script(CANVAS.format(f"#{place}-{result.id}", at))).reshape(16, 16, 4)[..., :3]
        wanted = np.clip(np.moveaxis(result.image + 2.0 * result.eigendistortions[at], 0, -1), 0, 1) * 255
        allowed = 2.0 * np.abs(result.eigendistortions[at]).max() * 255 / 254 + 1.01  # half a level of each part
        assert np.abs(pixels - wanted).max() <= allowed
    captions = opened.find_elements("css selector", f"#r-{result.id} figcaption")[:2]
    assert [caption.text.split(",")[0] for caption in captions] == ["most noticeable", "least noticeable"]
    ends = opened.find_elements("css selector", f"#g-{result.id} .shot")
    assert [end.get_attribute("class") for end in ends] == ["shot top", "shot bottom"]
    orange, blue = (end.find_element("tag name", "canvas").value_of_css_property("border-top-color") for end in ends)
    assert (orange, blue) == ("rgba(184, 78, 0, 1)", "rgba(0, 103, 163, 1)")


def test_one_norm_for_all_by_keyboard_and_reset_returns(page, opened):
    card = opened.find_element("id", f"r-{find_result(page[0], 'onoff').id}")
    slider, value = opened.find_element("id", "norm"), opened.find_element("id", "value")
    scripts = [CANVAS.format(f"#{place}-{card.get_attribute('id')[2:]}", 0) for place in "rg"]
    before = [opened.execute_script(script) for script in scripts]
    slider.send_keys("\ue014" * 30)  # right arrow
    assert math.isclose(float(value.text), 2 * 10**0.3, rel_tol=0.01)
    assert all(opened.execute_script(script) != old for script, old in zip(scripts, before, strict=True))
    slider.send_keys("\ue010")  # End
    assert float(value.text) == 20
    assert "% of values clipped" in card.find_element("class name", "clipped").text
    opened.find_element("id", "reset").click()
    assert float(value.text) == 2
    assert [opened.execute_script(script) for script in scripts] == before


def test_the_distortion_alone_can_be_shown(page, opened):
    result = find_result(page[0], "onoff")
    script = CANVAS.format(f"#g-{result.id}", 1)
    wait(lambda: opened.execute_script(SHOT.format(f"#g-{result.id}", 1)) == "distorted")
    menu = opened.find_element("id", "mode")
    menu.find_elements("tag name", "option")[1].click()
    alone = np.array(opened.execute_script(script)).reshape(16, 16, 4)[..., 0]
    wanted = 128 + 127 * result.eigendistortions[1][0] / np.abs(result.eigendistortions[1]).max()
    assert np.abs(alone - wanted).max() <= 1.6
    menu.find_elements("tag name", "option")[0].click()


@pytest.mark.parametrize("how", ["button", "key"])
def test_flicker_alternates_and_stops(page, opened, how):
    result = find_result(page[0], "onoff")
    script, showing = CANVAS.format(f"#r-{result.id}", 0), SHOT.format(f"#r-{result.id}", 0)
    button, body = opened.find_element("id", "flicker"), opened.find_element("tag name", "body")
    distorted = opened.execute_script(script)
    button.click() if how == "button" else body.send_keys("f")
    assert button.get_attribute("aria-pressed") == "true"
    wait(lambda: opened.execute_script(showing) == "original")
    image = np.array(opened.execute_script(script)).reshape(16, 16, 4)[..., 0]
    assert np.abs(image - result.image[0] * 255).max() <= 0.51
    wait(lambda: opened.execute_script(showing) == "distorted")
    wait(lambda: opened.execute_script(showing) == "original")
    button.click() if how == "button" else body.send_keys("f")
    assert button.get_attribute("aria-pressed") == "false"
    assert opened.execute_script(script) == distorted
    time.sleep(0.5)
    assert opened.execute_script(showing) == "distorted"


def test_a_pointer_over_a_picture_flickers_it_alone(page, opened):
    one, other = (find_result(page[0], model).id for model in ("onoff", "ln"))
    wait(lambda: opened.execute_script(SHOT.format(f"#g-{one}", 0)) == "distorted")
    point = "document.querySelector('#g-{} canvas').dispatchEvent(new PointerEvent('pointer{}'))"
    opened.execute_script(point.format(one, "enter"))
    assert opened.execute_script(SHOT.format(f"#g-{one}", 0)) == "original"
    assert opened.execute_script(SHOT.format(f"#g-{other}", 0)) == "distorted"
    opened.execute_script(point.format(one, "leave"))
    assert opened.execute_script(SHOT.format(f"#g-{one}", 0)) == "distorted"


def test_reduced_motion_swaps_once(page, browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    browser.get(page[1].as_uri())
    showing = SHOT.format(f"#g-{find_result(page[0], 'onoff').id}", 0)
    wait(lambda: browser.execute_script(showing) == "distorted")
    browser.find_element("id", "flicker").click()
    time.sleep(0.6)
    assert browser.execute_script(showing) == "original"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, browser, scheme, width):
    axe = pytest.importorskip("axe_core_python")
    (script,) = Path(axe.__file__).parent.rglob("axe.min.js")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False})
    browser.get("about:blank")
    browser.get(page[1].as_uri())
    browser.execute_script(script.read_text())
    assert browser.execute_async_script(AXE) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_phone_has_a_chart_with_marks_and_filters_folded_away(page, browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False})
    browser.get("about:blank")
    browser.get(page[1].as_uri())
    assert len(displayed(browser, ".phone .mark")) == 6 and not displayed(browser, ".desk .mark")
    assert not displayed(browser, "#filter")
    picture = browser.find_element("css selector", ".grid .shot canvas")
    assert picture.location["y"] < 844  # the first screen has pictures
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_javascript_there_are_still_pictures(page, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get("about:blank")
    browser.get(page[1].as_uri())
    assert len(displayed(browser, ".grid .shot img")) == 2 * 5
    assert len(displayed(browser, ".desk .mark")) == 6 and not displayed(browser, ".scripted")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


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
    for selector in (
        "h1",
        "td",
        "#table a",
        ".muted",
        "figcaption",
        ".top .value",
        ".bottom .value",
        ".state",
        ".state.warn",
        "dt",
        "b.warn",
    ):
        colour = browser.find_element("css selector", selector).value_of_css_property("color")
        assert contrast(back, colour) >= 4.5, selector
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def summed(browser) -> list[bool]:
    return ["clipped" in span.get_attribute("textContent") for span in browser.find_elements("css selector", ".clipped")]


def test_paper_has_every_picture(page, browser):
    browser.get(page[1].as_uri())
    wait(lambda: browser.execute_script("return document.body.dataset.printable"))
    assert not all(summed(browser))  # nobody has scrolled to the last cards
    assert len(browser.print_page()) > 10_000
    assert summed(browser) == [True] * 10


@pytest.mark.parametrize("modifier", ["ctrlKey", "metaKey"])
def test_keys_that_print_at_once_wait_for_every_picture(page, browser, modifier):
    never_idle = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "window.requestIdleCallback = () => {}"})
    browser.get(page[1].as_uri())
    pressed = f"new KeyboardEvent('keydown', {{key: 'p', {modifier}: true, cancelable: true, bubbles: true}})"
    browser.execute_script("window.print = () => { window.dispatchEvent(new Event('beforeprint')); window.printed = true }")
    assert browser.execute_script(f"return document.body.dispatchEvent({pressed})") is False
    wait(lambda: browser.execute_script("return window.printed"))
    assert summed(browser) == [True] * 10
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", never_idle)
