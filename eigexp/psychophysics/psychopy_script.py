"""Run the experiment in this folder with PsychoPy: python experiment_psychopy.py OBSERVER.

It shows the same trials as experiment.html, reads experiment.json, and writes trials_OBSERVER.csv after every answer. Keys 1, 2 (and 3)
answer; Escape ends, also on the first page and in breaks. Edit the times in experiment.json.
"""

import csv
import json
import random
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def trials(experiment):
    """Return the trials in random order: each norm of each distortion `repeats` times, half with either sign."""
    found = []
    for condition in experiment["conditions"]:
        for repeat in range(experiment["repeats"]):
            for level in condition["levels"][repeat % 2 :: 2]:
                target = random.randint(1, experiment["choices"])
                found.append({**condition, **level, "task": experiment["task"], "target": target})
    random.shuffle(found)
    return found


def main(observer):
    """Run the experiment with one observer."""
    from psychopy import core, event, visual  # type: ignore

    path = FOLDER / ("trials_" + re.sub(r"[^\w.-]+", "-", observer) + ".csv")
    if path.exists():  # before the window covers the screen
        sys.exit(f"{path} exists. Give another name, such as {observer}-2, or move the file.")
    experiment = json.loads((FOLDER / "experiment.json").read_text(encoding="utf-8"))
    times = {name: value / 1000 for name, value in experiment["milliseconds"].items()}
    keys = [str(number + 1) for number in range(experiment["choices"])]
    window = visual.Window(fullscr=True, units="pix", color=0, allowGUI=False)
    words = visual.TextStim(window, height=24, wrapWidth=900)

    def say(text, seconds=None, answers=("space",)):
        words.text = text
        words.draw()
        window.flip()
        if seconds is not None:
            core.wait(seconds)
            return None, None
        clock = core.Clock()
        key, when = event.waitKeys(keyList=[*answers, "escape"], timeStamped=clock)[0]
        return key, when

    def show(name):
        picture = visual.ImageStim(window, str(FOLDER / name), interpolate=False)
        picture.size = [side * experiment["zoom"] for side in picture.size]
        picture.draw()
        window.flip()
        core.wait(times["picture"])
        window.flip()
        core.wait(times["gap"])

    def ask(trial):
        say("+", times["fixation"])
        for interval in range(1, experiment["choices"] + 1):
            show(trial["file"] if interval == trial["target"] else trial["reference"])
        return say(experiment["question"], answers=keys)

    start = f"{experiment['question']}\n\nAnswer with the keys {', '.join(keys)}.\n\nPress space to start."
    if say(start)[0] == "escape":
        window.close()
        return
    answered = 0
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, experiment["columns"], extrasaction="ignore")
        writer.writeheader()
        for trial in trials(experiment):
            key, rt = ask(trial)
            if key == "escape":
                break
            answered, correct = answered + 1, int(key == str(trial["target"]))
            about = {"observer": observer, "trial": answered, "response": key, "correct": correct, "rt": round(1000 * (rt or 0))}
            writer.writerow({**trial, **about})
            file.flush()  # so that nothing is lost when the experiment ends early
            if experiment["feedback"]:
                say("correct" if correct else "wrong", times["feedback"])
            if answered % experiment["trials_between_breaks"] == 0 and say("Take a break. Press space to continue.")[0] == "escape":
                break
    if not answered:
        path.unlink()  # so that the same name can start again
    say(f"Thank you. The answers are in {path.name}." if answered else "The experiment ended before the first answer.", 2)
    window.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "observer")
