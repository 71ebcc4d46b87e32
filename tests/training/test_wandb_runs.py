"""Everything that is sent to W&B is in its offline files: curves, pictures, table, artifact, summary."""

import base64
import contextlib
import hashlib
import json
import math
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.run import run
from eigexp.report import View
from eigexp.report.pictures import captioned_pictures
from eigexp.store import Store
from eigexp.training import TaskData
from eigexp.training.callbacks import EigenvalueCurves, ResultWriter
from eigexp.training.wandb_runs import COLUMNS, WandbRuns
from tests.training.test_loggers import killed_twice
from tests.training.toys import module, task, trainer
from tests.training.wandb_files import closed, config, history, kind, media, records, summary
from tests.warm import commands as warm

ROOT = Path(__file__).parents[2]

# W&B's client and its protobuf are third parties: what they warn of on the way is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb", "ignore::DeprecationWarning:google")


def fit(logger, tasks, *callbacks):
    work = module()
    trainer(EigenvalueCurves(), *callbacks, logger=logger).fit(work, TaskData(tasks))
    return work


@pytest.mark.slow(2)
def test_offline_wandb_has_every_eigenvalue_in_one_run_a_result(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")  # the setting wins
    from PIL import Image

    figure = tmp_path / "figure.png"
    Image.new("L", (8, 8)).save(figure)

    def write(done, pairs, curves, seconds):
        kept.update(zip(done.ids, curves, strict=True))
        return [{"record": {"id": i, "status": "budget"}, "figures": {"distortions": figure}} for i in done.ids]

    kept = {}
    logger = WandbRuns(save_dir=tmp_path, mode="offline", every=1)
    fit(logger, [task("aaa"), task("bbb", "ccc")], ResultWriter(write))
    assert logger.runs == []
    for name in ("aaa", "bbb", "ccc"):
        path = closed(tmp_path, name)
        rows = [row for row in history(path) if "top/1/eigenvalue" in row]
        assert [row["top/1/eigenvalue"] for row in rows] == [row["eigenvalue/0"] for row in kept[name]]
        assert [row["solver/step"] for row in rows] == list(range(1, 31))
        assert [row["solver/fisher_vector_products"] for row in rows] == [row["fisher_vector_products"] for row in kept[name]]
        assert any(key.startswith("figure/distortions") for row in history(path) for key in row)
        summaries = [r.summary for r in records(path) if r.WhichOneof("record_type") == "summary"]
        assert any(item.key == "status" and item.value_json == '"budget"' for s in summaries for item in s.update)
        run = next(r.run for r in records(path) if r.WhichOneof("record_type") == "run")
        assert (run.run_id, run.project, run.display_name) == (name, "eigexp", f"network {name} {name}")


@pytest.mark.slow(2)
def test_wandb_sees_every_nth_step(tmp_path):
    fit(WandbRuns(save_dir=tmp_path, mode="offline", every=8), [task("aaa")])
    path = closed(tmp_path, "aaa")
    assert [row["solver/step"] for row in history(path)] == [8, 16, 24, 30]


def test_400_rows_after_two_kills(tmp_path):
    def files():
        return sorted(tmp_path.glob("wandb/offline-run-*-a/run-a.wandb"), key=lambda path: path.stat().st_mtime_ns)

    def written(logger):
        # W&B's own process goes on after a kill of this one and closes the file.
        logger.close("failed")
        deadline = time.monotonic() + 900
        while not all(kind(path, "exit") for path in files()):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def in_a_new_second():
        second = int(time.time())
        while files() and int(time.time()) == second:  # by which W&B names the folder of a run
            time.sleep(0.01)
        return WandbRuns(save_dir=tmp_path, mode="offline", least_seconds=0)

    killed_twice(in_a_new_second, written)
    written(WandbRuns(save_dir=tmp_path, mode="offline"))
    assert [row["solver/step"] for path in files() for row in history(path)] == list(range(1, 401))


def test_after_a_hundred_rows_short_steps_are_left_out(tmp_path):
    runs = WandbRuns(save_dir=tmp_path, mode="disabled", every=2, least_seconds=0.5)
    for image in (0, 1):
        seen = [step for step in range(1, 1201) if runs.wants(image, step, 0.01 * step)]
        assert seen == [*range(2, 201, 2), *range(250, 1201, 50)]
    runs.begin(task("a"))
    assert [step for step in range(1, 5) if runs.wants(0, step, 0.0)] == [2, 4]


def test_disabled_wandb_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(WandbRuns(mode="disabled"), [task("a")])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    fit(WandbRuns(mode=None), [task("a")])
    assert not list(tmp_path.rglob("*.wandb"))


def test_an_unknown_mode_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"logger.wandb.mode=ofline is unknown. Did you mean offline"):
        WandbRuns(mode="ofline")


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A run of two images: the store's results, and the files of W&B."""
    folder = tmp_path_factory.mktemp("wandb")
    words = ["model=ln", "images.names=[camera,coins]", "images.size=24", "logger=wandb", "callbacks.progress.mode=quiet"]
    words += [f"store='{folder}/store'", f"logger.wandb.save_dir='{folder}'", "logger.wandb.mode=offline", "logger.wandb.every=3"]
    outcome = run(compose([*words, "logger.wandb.tags=[pilot]"]))
    store = Store(folder / "store")
    return [(store.read(path.name), closed(folder, path.name)) for path in outcome.folders]


@pytest.mark.slow(2)
def test_curves_are_those_of_the_store(sent):
    for result, path in sent:
        rows = [row for row in history(path) if "solver/step" in row]
        kept = {row["step"]: row for row in result.curves}
        assert [row["solver/step"] for row in rows] == [step for step in kept if step % 3 == 0 or step == max(kept)]
        for row in rows:
            own = kept[row["solver/step"]]
            assert row["solver/fisher_vector_products"] == own["fisher_vector_products"]
            for key in row:
                end, _, quantity = key.partition("/1/")
                if quantity:
                    wanted = own[f"{quantity}/{0 if end == 'top' else result.record['n'] - 1}"]
                    assert row[key] == pytest.approx(wanted, rel=1e-12)
            assert {key for key in row if "/1/" in key} == {
                f"{end}/1/{what}" for end in ("top", "bottom") for what in ("eigenvalue", "residual")
            }


@pytest.mark.slow(5)
def test_runs_have_names_groups_tags_and_settings_that_tell_them_apart(sent):
    for (result, path), image in zip(sent, ("camera", "coins"), strict=True):
        first, *_, last = kind(path, "run")
        assert (first.run_group, first.job_type, list(first.tags)) == ("ln", "krylov", ["pilot"])
        assert list(last.tags) == ["pilot", "verified"]
        assert first.display_name == f"ln {image} 24x24 {result.id[:8]}"
        known = config(path)
        assert (known["model_name"], known["layer_name"], known["image_name"]) == ("ln", "output", image)
        assert (known["solver_k"], known["seed"], known["dtype"]) == (1, 0, "float32")
        assert not any("." in key for key in known)
    axes = {metric.name or metric.glob_name: metric.step_metric for metric in kind(sent[0][1], "metric")}
    assert axes["top/*"] == axes["bottom/*"] == axes["solver/fisher_vector_products"] == "solver/step"


@pytest.mark.slow(3)
def test_pictures_have_their_pixels_and_captions(sent):
    for result, path in sent:
        shown = {key.removeprefix("distortions/"): value for key, value in media(path).items() if key.startswith("distortions/")}
        wanted = captioned_pictures(View.of(result))
        assert (
            set(shown) == set(wanted) == {"image", *(f"{end} noticeable {how}" for end in ("most", "least") for how in ("alone", "added"))}
        )
        for name, (pixels, caption) in wanted.items():
            assert shown[name]["caption"] == caption
            with PillowImage.open(path.parent / "files" / shown[name]["path"]) as picture:
                assert (np.asarray(picture.convert("L")) == pixels).all()


@pytest.mark.slow(0.1)
def test_the_table_has_a_row_for_each_pair(sent):
    for result, path in sent:
        table = json.loads((path.parent / "files" / media(path)["results"]["path"]).read_text())
        assert table["columns"] == list(COLUMNS)
        record = result.record
        assert [row[3] for row in table["data"]] == record["eigenindex"]
        assert [row[4] for row in table["data"]] == record["eigenvalues"]
        assert [row[5:7] for row in table["data"]] == record["intervals"]
        assert [row[9] for row in table["data"]] == [record["evidence"]["top"], record["evidence"]["bottom"]]
        assert {tuple(row[:3]) for row in table["data"]} == {("ln", None, record["image"]["name"])}


@pytest.mark.slow(0.1)
def test_the_artifact_is_pairs_and_record(sent):
    for result, path in sent:
        (artifact,) = [artifact for artifact in kind(path, "artifact") if artifact.type == "eigenpairs"]  # beside the table's own
        assert (artifact.name, artifact.run_id) == (f"eigenpairs-{result.id}", result.id)
        contents = {entry.path: entry for entry in artifact.manifest.contents}
        assert set(contents) == {"pairs.safetensors", "record.json", "curves.csv", "config.yaml"}
        for name, entry in contents.items():
            data = (result.folder / name).read_bytes()
            assert entry.digest == base64.b64encode(hashlib.md5(data).digest()).decode()
            assert entry.local_path == str(result.folder / name)


@pytest.mark.slow(0.1)
def test_the_summary_compares_results(sent):
    for result, path in sent:
        known, record = summary(path), result.record
        for key in ("id", "status", "method", "fisher_vector_products"):
            assert known[key] == record[key], key
        assert (known["evidence_top"], known["evidence_bottom"]) == (record["evidence"]["top"], record["evidence"]["bottom"])
        assert known["verified"] is record["verified"] is True
        (top, bottom), (low, _), (_, high) = record["eigenvalues"], *record["intervals"]
        numbers = {"lambda_max": top, "lambda_min_bound": high, "D_lower": 0.5 * math.log(low / high), "threshold_top": top**-0.5}
        assert {key: known[key] for key in numbers} == pytest.approx(numbers)
        assert bottom <= high


_OFFLINE_RUN = """
import sys
assert "wandb" not in sys.modules  # what it does when it is imported counts, too
from eigexp.training import TaskData, WandbRuns
from eigexp.training.callbacks import EigenvalueCurves
from tests.training.toys import module, task, trainer
trainer(EigenvalueCurves(), logger=[WandbRuns(save_dir=".", mode="offline")]).fit(module(), TaskData([task("a" * 16)]))
"""


@pytest.mark.slow(4)
def test_an_offline_run_calls_no_other_machine(tmp_path):
    """Every program that would call out is sent to a proxy here, which counts; its name would be looked up there too."""
    called, closed = [], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def listen():
            while not closed.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    called.append(connection.recv(200))
                    connection.close()

        listener = threading.Thread(target=listen)
        listener.start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        proxies = {name: proxy for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")} | {"NO_PROXY": "", "no_proxy": ""}
        around = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        (tmp_path / "script.py").write_text(_OFFLINE_RUN)
        around |= {**proxies, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        done = warm.run("script.py", cwd=tmp_path, env=around)
        closed.set()
        listener.join()
    assert done.returncode == 0, done.stderr
    assert called == [] and list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
