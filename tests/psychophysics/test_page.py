"""The experiment's page in a real browser, from a folder and without a network: keys answer, and the answers are saved."""

import re

import pytest

from eigexp.psychophysics import read_trials
from eigexp.psychophysics.tasks import TASKS
from tests.psychophysics.experiments import an_experiment
from tests.report.test_browser import CHROMEDRIVER, CHROMIUM, browser, wait  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]
# An observer within the page, who sees each picture as it appears: so that no answer depends on how fast the test looks.
OBSERVER = """
const [question, choices] = arguments;
window.answers = []; window.widths = []; window.files = [];
let seen = [], last = null;
const press = key => setTimeout(() => ["keydown", "keyup"].forEach(name =>
  document.activeElement.dispatchEvent(new KeyboardEvent(name, {key, bubbles: true}))), 5);
new MutationObserver(() => {
  const image = document.querySelector("img.stimulus"), text = document.body.innerText;
  if (image && image !== last) {
    last = image;
    seen.push(decodeURIComponent(image.getAttribute("src")));
    image.addEventListener("load", () => window.widths.push(image.getBoundingClientRect().width));
  }
  if (text.includes(question) && seen.length === choices) {
    const target = 1 + seen.findIndex(name => !name.includes("reference")), right = window.answers.length % 3 > 0;
    window.files.push(...seen);
    window.answers.push(right);
    seen = [];
    press(String(right ? target : 1 + target % choices));
  } else if (text.includes("Take a break")) press(" ");
}).observe(document.body, {childList: true, subtree: true});
"""


def quick(folder):
    page = folder / "experiment.html"
    text = re.sub(r'"(fixation|gap|feedback)": \d+', r'"\1": 1', page.read_text())
    page.write_text(text.replace('"picture": 500', '"picture": 50').replace('"trials_between_breaks": 60', '"trials_between_breaks": 5'))
    return page


@pytest.mark.parametrize("task", TASKS)
def test_trials_are_shown_answered_and_saved(tmp_path, browser, task):  # noqa: F811
    id = an_experiment(tmp_path, task, repeats=2, name="l'\u00e9t\u00e9 50 %")
    saved = tmp_path / "saved"
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)})
    browser.get(quick(tmp_path).as_uri())
    browser.find_element("id", "observer").send_keys("Ann/e 1")
    browser.execute_script(OBSERVER, TASKS[task].question, TASKS[task].choices)
    browser.find_element("css selector", "button").click()
    wait(lambda: list(saved.glob("*.csv")), 120)
    assert browser.get_log("browser") == []
    (written,) = saved.glob("*.csv")
    assert written.name == "trials_Ann-e-1.csv"
    conditions = read_trials([written])
    assert {(c.id, c.eigenindex, c.observer, c.task) for c in conditions} == {(id, 0, "Ann/e 1", task), (id, 255, "Ann/e 1", task)}
    assert [c.trials.tolist() for c in conditions] == [[2, 2], [2, 2]]
    answers, files, widths = (browser.execute_script(f"return window.{name}") for name in ("answers", "files", "widths"))
    assert sum(int(c.correct.sum()) for c in conditions) == sum(answers) == 5
    assert len(files) == 8 * TASKS[task].choices
    assert len({name for name in files if "reference" not in name}) == 8  # both signs of both norms of both distortions
    assert set(widths) == {256} and len(widths) == len(files)  # 16 pixels, enlarged by whole numbers


@pytest.fixture
def started(tmp_path, browser):  # noqa: F811
    """An experiment on its way, with the function that starts it again."""
    an_experiment(tmp_path)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path / "saved")})
    page = quick(tmp_path).as_uri()

    def start(name, answers=2):
        browser.get(page)
        browser.find_element("id", "observer").send_keys(name)
        browser.execute_script(OBSERVER if answers else "window.answers = []", TASKS["two_interval"].question, 2)
        browser.find_element("css selector", "button").click()
        wait(lambda: browser.execute_script("return window.answers.length") >= answers)

    return start


def text(browser):  # noqa: F811
    return browser.find_element("tag name", "body").text


def test_escape_ends_early_and_saves(tmp_path, browser, started):  # noqa: F811
    started("B")
    browser.find_element("tag name", "body").send_keys("\ue00c")
    wait(lambda: list((tmp_path / "saved").glob("*.csv")))
    assert sum(int(c.trials.sum()) for c in read_trials((tmp_path / "saved").glob("*.csv"))) >= 1
    started("C", answers=0)
    browser.find_element("tag name", "body").send_keys("\ue00c")
    wait(lambda: "ended before the first answer" in text(browser))


def test_answers_of_an_interrupted_session_are_offered(tmp_path, browser, started):  # noqa: F811
    started("D d")
    wait(lambda: browser.execute_script("return localStorage.length"))  # a key pressed too early is no answer
    browser.refresh()
    assert "Save the answers of D d, whose session was interrupted." in text(browser)
    browser.find_element("css selector", "a[download]").click()
    wait(lambda: (tmp_path / "saved/trials_D-d.csv").exists())
    assert sum(int(c.trials.sum()) for c in read_trials([tmp_path / "saved/trials_D-d.csv"])) >= 1
    browser.refresh()
    assert "interrupted" not in text(browser)
    started("E")
    browser.find_element("tag name", "body").send_keys("\ue00c")
    wait(lambda: (tmp_path / "saved/trials_E.csv").exists())
    browser.refresh()
    assert "interrupted" not in text(browser)
