"""Schedulers by their commands: what each profile reads in what its scheduler prints, and what is said when one does not answer."""

import os
import subprocess
import threading
from dataclasses import replace

import pytest

from eigexp.cli import main
from eigexp.config.compose import compose, resolved
from eigexp.errors import ConfigurationError, SchedulerError
from eigexp.store import Store
from eigexp.store.store import ERROR, JOB
from eigexp.sweep.launcher import make_launcher
from eigexp.sweep.lock import LOCK, sweep_lock, task_lock
from eigexp.sweep.scheduler import Job, JobState, Queues, Scheduler
from eigexp.sweep.task_status import StatusReader
from eigexp.sweep.template import clock, seconds

# What the schedulers' manuals show, and the real ones print where one was at hand (Slurm, Grid Engine).
QUEUES = {
    "slurm": (
        "7 0 RUNNING None\n7 1 PENDING Resources\n8 N/A PENDING JobHeldUser\n9 0 COMPLETING None\n9 1 CONFIGURING None\n",
        {"7_0": "running", "7_1": "queued", "8": "held", "9_0": "running", "9_1": "queued"},
    ),
    "sge": (
        "job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID\n-----\n"
        "      1 0.50000 eigexp     root         r     11/25/2026 23:51:54 all.q@localhost                    1 1\n"
        "      1 0.50000 eigexp     root         qw    11/25/2026 23:51:54                                    1 2\n"
        "      1 0.50000 eigexp     root         hqw   11/25/2026 23:51:54                                    1 3\n"
        "      1 0.50000 eigexp     root         Eqw   11/25/2026 23:51:54                                    1 4\n"
        "      1 0.50000 eigexp     root         dr    11/25/2026 23:51:54 all.q@localhost                    1 5\n"
        "      1 0.50000 eigexp     root         Rq    11/25/2026 23:51:54                                    1 6\n",
        {"1.1": "running", "1.2": "queued", "1.3": "held", "1.4": "held", "1.5": "running", "1.6": "queued"},
    ),
    "pbs": (
        "Job id            Name             User              Time Use S Queue\n----------------  -------\n"
        "12.pbs            eigexp           lab               00:00:04 R workq\n"
        "13.pbs            eigexp           lab                      0 Q workq\n"
        "14.pbs            eigexp           lab                      0 H workq\n"
        "15.pbs            eigexp           lab               00:00:04 F workq\n"
        "16.pbs            eigexp           lab                      0 T workq\n"
        "17.pbs            eigexp           lab               00:00:04 E workq\n"
        "18.pbs            eigexp           lab               00:00:04 S workq\n",
        {"12": "running", "13": "queued", "14": "held", "16": "queued", "17": "running", "18": "running"},
    ),
    "torque": (
        "Job ID                    Name             User            Time Use S Queue\n------------------------- ----------------\n"
        "12.server                  eigexp           lab             00:00:04 R batch\n"
        "13.server                  eigexp           lab                    0 Q batch\n"
        "14.server                  eigexp           lab             00:00:04 C batch\n",
        {"12": "running", "13": "queued"},
    ),
    "lsf": (
        "12 1 RUN\n12 2 PEND\n12 3 PSUSP\n12 4 DONE\n12 5 SSUSP\n12 6 WAIT\n12 7 PROV\n12 8 UNKWN\n",
        {
            **{"12[1]": "running", "12[2]": "queued", "12[3]": "held", "12[5]": "running"},
            **{"12[6]": "queued", "12[7]": "queued", "12[8]": "running"},
        },
    ),
    "oar": (
        "Job id     Name           User           Submission Date     S Queue\n---------- --------------\n"
        "12         eigexp         lab            2026-11-25 10:00:00 R default\n"
        "13         eigexp         lab            2026-11-25 10:00:00 W default\n"
        "14         eigexp         lab            2026-11-25 10:00:00 H default\n"
        "15         eigexp         lab            2026-11-25 10:00:00 T default\n",
        {"12": "running", "13": "queued", "14": "held"},
    ),
    "condor": ("12 0 2\n12 1 1\n12 2 5\n12 3 4\n", {"12.0": "running", "12.1": "queued", "12.2": "held"}),
}
SUBMITTED = {
    "slurm": ("7\n", 2, ["7_0", "7_1"]),
    "sge": ("1.1-4:1\n", 4, ["1.1", "1.2", "1.3", "1.4"]),
    "pbs": ("12.pbs\n", 1, ["12"]),
    "torque": ("12.server.example.org\n", 1, ["12"]),
    "lsf": ("Job <12> is submitted to queue <normal>.\n", 2, ["12[1]", "12[2]"]),
    "oar": ("[ADMISSION RULE] Modify resource description\nOAR_JOB_ID=12\nOAR_JOB_ID=13\n", 2, ["12", "13"]),
    "condor": ("12.0 - 12.1\n", 2, ["12.0", "12.1"]),
}


def profile(name, *overrides):
    return make_launcher(resolved(compose([f"launcher={name}", *overrides]))["launcher"])


def scheduler(name, **commands):
    return replace(profile(name).scheduler, **commands)


def printing(text):
    return f"printf '%s' '{text}'"


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_is_read(name):
    text, wanted = QUEUES[name]
    assert {job: found.state for job, found in scheduler(name, status=printing(text)).jobs().items()} == wanted


def test_a_job_that_waits_for_nothing_has_no_reason():
    found = scheduler("slurm", status=printing(QUEUES["slurm"][0])).jobs()
    assert [found[job].words for job in ("7_0", "7_1", "9_1")] == ["RUNNING", "PENDING Resources", "CONFIGURING"]


@pytest.mark.parametrize("name", SUBMITTED)
def test_the_jobs_that_were_submitted_are_read(name):
    text, count, wanted = SUBMITTED[name]
    launcher = profile(name)
    assert replace(launcher.scheduler, submit=printing(text)).send("x", count, launcher._first) == wanted


@pytest.mark.parametrize("name", ["slurm", "template", "sge", "pbs", "torque", "lsf", "oar", "condor"])
def test_scripts_are_those_of_a_shell_and_ask_for_what_was_given(name, tmp_path):
    given = ["launcher.cpus=3", "launcher.memory=7", "launcher.gpus=2", "launcher.time=2:00:00", "launcher.account=lab"]
    queue = "launcher.partition=long" if name == "slurm" else "launcher.queue=long"
    script = profile(name, *given, queue).write_script([["aa", "bb"], ["cc"]], Store(tmp_path))
    subprocess.run(["bash", "-n", script.with_suffix(".sh")], check=True)
    text = script.read_text()
    if name == "template":
        return
    assert all(word in text for word in ("lab", *(() if name == "oar" else ("3", "7")))) and ("long" in text or name == "condor")
    assert "2:00:00" in text or "120" in text or "7200" in text
    assert script.with_suffix(".tasks").read_text() == "aa bb\ncc\n"
    if name != "condor":
        subprocess.run(["bash", "-n", script], check=True)


HEADS = {  # as in the templates of Parsl, PSI/J and dask-jobqueue: all on one machine
    "slurm": ["#SBATCH --nodes=1", "#SBATCH --cpus-per-task=3", "#SBATCH --gpus-per-node=2", "#SBATCH --mem=7", "#SBATCH --time=120"],
    "sge": ["#$ -pe smp 3", "#$ -l gpu=2", "#$ -l h_vmem=7", "#$ -l h_rt=7200", "#$ -P lab"],
    "pbs": ["#PBS -l select=1:ncpus=3:ngpus=2:mem=7", "#PBS -l walltime=2:00:00", "#PBS -A lab", "#PBS -q long", "#PBS -m n"],
    "torque": ["#PBS -l nodes=1:ppn=3:gpus=2", "#PBS -l mem=7", "#PBS -l walltime=2:00:00", "#PBS -A lab", "#PBS -q long"],
    "lsf": ['#BSUB -n 3 -R "span[hosts=1]"', '#BSUB -gpu "num=2"', "#BSUB -W 120", "#BSUB -P lab", "#BSUB -q long"],
    "oar": ["#OAR -l /nodes=1/gpu=2,walltime=2:00:00", "#OAR --project lab", "#OAR -q long"],
    "condor": ["request_cpus = 3", "request_gpus = 2", "request_memory = 7", "allowed_job_duration = 7200", "queue 2"],
}


@pytest.mark.parametrize("name", HEADS)
def test_each_scheduler_is_asked_in_its_own_words(name, tmp_path):
    given = ["launcher.cpus=3", "launcher.memory=7", "launcher.gpus=2", "launcher.time=2:00:00", "launcher.account=lab"]
    queue = "launcher.partition=long" if name == "slurm" else "launcher.queue=long"
    lines = profile(name, *given, queue).write_script([["aa", "bb"], ["cc"]], Store(tmp_path)).read_text().splitlines()
    assert [line for line in HEADS[name] if line not in lines] == []


def test_a_scheduler_that_fails_is_quoted_and_is_no_empty_queue(tmp_path):
    silent = scheduler("slurm", status="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SchedulerError, match="Unable to contact slurm controller"):
        silent.jobs()
    silent.save(Store(tmp_path))
    queues = Queues.ask(Store(tmp_path), [Job("slurm", "7_0")])
    assert list(queues.of([Job("slurm", "7_0")])) == [] and "Unable" in queues.silence_about([Job("slurm", "7_0")])


def test_a_store_keeps_how_to_ask(tmp_path):
    for name in QUEUES:
        launcher = profile(name)
        launcher.scheduler.save(Store(tmp_path))
        assert Scheduler.load(Store(tmp_path), name) == launcher.scheduler


def test_a_foreign_store_names_no_commands_that_are_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    store, trace = Store(tmp_path / "store"), tmp_path / "trace"
    evil = scheduler("slurm", status=f"touch {trace}", cancel=f"touch {trace}")
    evil.save(store)
    store.write_json("aa00", JOB, {"ids": ["aa00"], "jobs": ["slurm:7_0"]})
    assert Scheduler.load(store, "slurm") == evil  # one's own profile, whatever its commands
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key of somebody else"))
    assert [(task.state, "not run" in task.detail) for task in StatusReader(store).all()] == [("unknown", True)]
    assert main(["status", "--store", str(store.root)]) == 0 and main(["cancel", "--store", str(store.root)]) == 1
    assert not trace.exists() and "The commands for slurm are another user's" in capsys.readouterr().out
    scheduler("slurm").save(store)
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    assert Scheduler.load(store, "slurm") == scheduler("slurm")  # what the package ships is known


@pytest.mark.parametrize("content", ["", "[]", "{", '{"name": 3}', None])
def test_commands_of_a_scheduler_that_cannot_be_read_stop_no_status(tmp_path, content):
    store = Store(tmp_path)
    store.write_json("aa00", JOB, {"ids": ["aa00"], "jobs": ["mylab:7"]})
    (tmp_path / "jobs").mkdir()
    if content is not None:
        (tmp_path / "jobs" / "mylab.scheduler.json").write_text(content)
    (task,) = StatusReader(store).all()
    assert task.state == "unknown" and "mylab" in task.detail


def test_a_log_that_is_a_pipe_hangs_no_status(tmp_path):
    store = Store(tmp_path)
    store.write_json("aa00", JOB, {"ids": ["aa00"], **JOBS})
    (tmp_path / "jobs").mkdir()
    os.mkfifo(tmp_path / "jobs" / "9_0.log")
    assert StatusReader(store, Queues({})).of("aa00").detail == "job 9_0 left the queue before it began"


def status(store, job, queues, error=None):
    store.write_json("aa00", JOB, {"ids": ["aa00"], **job})
    if error:
        store.write_json("aa00", ERROR, error)
    found = StatusReader(store, queues).of("aa00")
    return found.state, found.detail


JOBS = {"jobs": ["slurm:7_0", "slurm:9_0"], "job": "9_0"}


@pytest.mark.parametrize(
    ("queue", "silent", "error", "state"),
    [
        ({"slurm:7_0": JobState("queued", "PENDING Priority")}, {}, None, "queued"),
        ({"slurm:7_0": JobState("held", "PENDING JobHeldUser"), "slurm:9_0": JobState("running", "RUNNING")}, {}, None, "running"),
        ({"slurm:9_0": JobState("held", "PENDING JobHeldUser")}, {}, None, "held"),
        ({}, {"slurm": "no answer"}, None, "unknown"),
        ({}, {"slurm": "no answer"}, {"message": "x", "transient": False}, "failed"),
        ({}, {}, None, "ended without result"),
        ({}, {}, {"message": "disk full", "transient": True}, "to do"),
        ({"slurm:9_0": JobState("running", "RUNNING")}, {}, {"message": "x", "transient": False}, "running"),
    ],
)
def test_the_state_of_a_task_is_what_its_jobs_and_the_store_say(tmp_path, queue, silent, error, state):
    assert status(Store(tmp_path), JOBS, Queues(queue, silent), error)[0] == state


def test_a_task_without_jobs_is_not_unknown_and_a_cancelled_one_not_ended(tmp_path):
    assert status(Store(tmp_path), {}, Queues({}, {"slurm": "no answer"})) == ("to do", "")
    assert status(Store(tmp_path), {**JOBS, "cancelled": True}, Queues({})) == ("to do", "cancelled")


def test_the_exit_code_and_the_last_line_of_a_job_are_shown(tmp_path):
    store = Store(tmp_path)
    store.write_json("aa00", JOB, {"ids": ["aa00"], **JOBS})
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "9_0.exit").write_text("127\n")
    (tmp_path / "jobs" / "9_0.log").write_text("bash: /nonexistent: No such file\n")
    assert StatusReader(store, Queues({})).of("aa00").detail == "job 9_0 ended with exit code 127: bash: /nonexistent: No such file"


def test_of_two_sweeps_at_once_the_second_waits(tmp_path):
    order, store = [], Store(tmp_path)
    inside, waited = threading.Event(), threading.Event()

    def second():
        inside.wait()
        with sweep_lock(store, waited.set):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with sweep_lock(store, lambda: None):
        inside.set()
        assert waited.wait(900)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_look_at_a_task_does_not_make_its_worker_skip_it(tmp_path):
    """A reader holds the lock for a moment, shared; a worker that asks in that moment waits for it."""
    import fcntl

    store = Store(tmp_path)
    path = store.path("aa00") / LOCK
    path.parent.mkdir(parents=True)
    path.write_text("")
    with path.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(reader, fcntl.LOCK_UN)).start()
        with task_lock(store, "aa00") as acquired:
            assert acquired


@pytest.mark.parametrize(("time", "wanted"), [("90", 5400), (90, 5400), ("1:30", 90), ("1:30:00", 5400), ("1-2", 93600), ("0-1:30", 5400)])
def test_times(time, wanted):
    assert seconds(time) == wanted
    assert seconds(clock(wanted)) == wanted


@pytest.mark.parametrize("name", ["slurm", "sge"])
def test_a_warning_that_does_not_fit_into_the_time_is_refused(name):
    with pytest.raises(ConfigurationError, match="too short"):
        profile(name, "launcher.time=1")
    profile(name, "launcher.time=1", "launcher.warning=20", "launcher.start=30")
