"""The experiment in a folder: what its page and its script show, and what they write."""

import json
import random
import runpy
import sys
from types import ModuleType, SimpleNamespace

import pytest

from eigexp.errors import ConfigurationError
from eigexp.psychophysics import read_trials, write_experiment
from eigexp.psychophysics.tasks import TASKS
from tests.psychophysics.experiments import an_experiment


def test_each_norm_has_files_of_both_signs_that_exist(tmp_path):
    id = an_experiment(tmp_path)
    found = json.loads((tmp_path / "experiment.json").read_text())
    assert [(c["id"], c["eigenindex"], c["model"]) for c in found["conditions"]] == [(id, 0, "onoff"), (id, 255, "onoff")]
    for condition in found["conditions"]:
        assert [level["alpha"] for level in condition["levels"]] == [0.5, 0.5, 1.0, 1.0]
        assert all((tmp_path / name).is_file() for name in (condition["reference"], *(level["file"] for level in condition["levels"])))
        assert all(0 < level["shown"] <= level["alpha"] * 1.05 for level in condition["levels"])


def test_the_page_needs_no_other_file_than_its_pictures(tmp_path):
    an_experiment(tmp_path, name="</script><script>alert(1)</script>")
    page = (tmp_path / "experiment.html").read_text()
    assert "http-equiv" not in page and 'src="http' not in page and "<link" not in page
    assert "Joshua R. de Leeuw" in page  # jsPsych's licence asks that its notice goes with it
    assert "alert(1)" not in page.replace("\\u003c/script\\u003e\\u003cscript\\u003ealert(1)", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"repeats": 0}, "repeats=0"), ({"rows": []}, "no stimulus of 8 bits")],
)
def test_what_cannot_be_shown_is_refused(tmp_path, change, message):
    settings = {"rows": [], "repeats": 1} | change
    with pytest.raises(ConfigurationError, match=message):
        write_experiment(settings["rows"], tmp_path, TASKS["two_interval"], side=16, repeats=settings["repeats"], labels={})


def test_a_stimulus_that_rounding_removes_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"Leave out the norm 0\.0001"):
        an_experiment(tmp_path, alphas=[1e-4])


class Screen:
    """PsychoPy's window, pictures and keys, for an observer who sees the changed picture always."""

    def __init__(self, escape_at=""):
        self.shown, self.said, self.windows, self.escape_at = [], [], [], escape_at
        visual = SimpleNamespace(Window=self.window, TextStim=self.words, ImageStim=self.picture)
        core = SimpleNamespace(wait=lambda seconds: None, Clock=lambda: None)
        self.module = ModuleType("psychopy")
        vars(self.module).update(visual=visual, core=core, event=SimpleNamespace(waitKeys=self.answer))

    def window(self, **settings):
        self.windows.append("open")
        return SimpleNamespace(flip=lambda: None, close=lambda: self.windows.append("closed"))

    def words(self, window, **settings):
        words = SimpleNamespace(text="", draw=lambda: self.said.append(words.text))
        return words

    def picture(self, window, path, **settings):
        self.shown.append(path)
        return SimpleNamespace(size=[16, 16], draw=lambda: None)

    def answer(self, keyList, timeStamped):
        if self.escape_at and self.escape_at in self.said[-1]:
            return [("escape", 0.0)]
        if keyList[0] == "space":
            return [("space", 0.0)]
        last = self.shown[-(len(keyList) - 1) :]
        return [(str(1 + next(i for i, path in enumerate(last) if "reference" not in path)), 0.25)]


def script(folder, screen, monkeypatch):
    """Return the function of the script in a folder that runs the experiment on a screen."""
    monkeypatch.setitem(sys.modules, "psychopy", screen.module)
    random.seed(0)
    return runpy.run_path(str(folder / "experiment_psychopy.py"))["main"]


@pytest.mark.parametrize("task", TASKS)
def test_the_psychopy_script_shows_every_trial_and_writes_it(tmp_path, monkeypatch, task):
    id = an_experiment(tmp_path, task)
    screen = Screen()
    main = script(tmp_path, screen, monkeypatch)
    main("A. Other/../x")
    assert len(screen.shown) == TASKS[task].choices * 2 * 2 * 4
    (written,) = tmp_path.glob("trials_*.csv")
    assert written.parent == tmp_path
    conditions = read_trials([written])
    assert [(c.id, c.eigenindex) for c in sorted(conditions, key=lambda c: c.eigenindex)] == [(id, 0), (id, 255)]
    for condition in conditions:
        assert condition.observer == "A. Other/../x" and condition.task == task
        assert condition.trials.tolist() == condition.correct.tolist() == [4, 4]
    assert screen.windows == ["open", "closed"]
    with pytest.raises(SystemExit, match=r"exists. Give another name"):  # trials are never written over
        main("A. Other/../x")
    assert screen.windows == ["open", "closed"]  # and the screen is not covered meanwhile


@pytest.mark.parametrize(("page", "answers"), [("Press space to start", 0), ("Which picture", 0), ("Take a break", 5)])
def test_escape_ends_the_psychopy_script_on_every_page(tmp_path, monkeypatch, page, answers):
    an_experiment(tmp_path)
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trials_between_breaks": 5}))
    screen = Screen(escape_at=page)
    script(tmp_path, screen, monkeypatch)("B")
    assert screen.windows == ["open", "closed"]
    assert sum(int(c.trials.sum()) for c in read_trials(tmp_path.glob("trials_*.csv"))) == answers
    assert answers or not list(tmp_path.glob("trials_*.csv"))  # the name is free for another start
