"""The script of a job, run by bash with a stand-in for the interpreter: no signal is lost, and whatever ends it leaves a record."""

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from eigexp.store import Store
from eigexp.sweep.job_script import TOO_EARLY, JobScript, end_of_job
from tests.slurm.cluster import wait_until

# It takes its time to "import", with the handlers that Python has then; a signal before or after that must find its way here.
WORKER = """#!{python} -ISu
import signal, sys, time
{imports}
def leave(number, frame):
    for each in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)
    print("got", signal.Signals(number).name, flush=True)
    raise SystemExit({too_early} if begun is None else 128 + number)
begun = None
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, leave)
signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 32))
print("ids", *sys.argv[7:], flush=True)
begun = True
time.sleep({seconds})
"""
IMPORTS = "time.sleep(0.3)"
UNTIL_A_SIGNAL = "while not signal.sigpending(): time.sleep(0.01)"
AT_LAST = 900  # seconds: it hangs


def worker(folder, imports=IMPORTS, seconds=0.4):
    """A stand-in for the interpreter in a folder."""
    path = folder / "worker"
    path.write_text(WORKER.format(python=sys.executable, too_early=TOO_EARLY, imports=imports, seconds=seconds))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def job(tmp_path):
    """Starts the script as job 7 of an array; returns the process, in a group of its own as a scheduler would have it.

    The script has its handlers then: it has removed the exit code of an earlier start.
    """
    store = Store(tmp_path / "store")
    jobs = store.root / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "tasks").write_text("aa bb\ncc\n")
    worker(tmp_path)

    def start(number="7", environment=(), python=str(tmp_path / "worker"), patience=900, **changes):
        given = {"warnings": ["USR2"], "stops": ["TERM", "INT", "HUP"], "requeue": "echo back; exit 99", **changes}
        script = JobScript(store, "test", number, "2", 1, patience=patience, environment=environment, threads=1, python=python, **given)
        path = jobs / f"{number}.sh"
        path.write_text(script.text(jobs / "tasks"))
        earlier = jobs / f"{number}.exit"
        earlier.touch()
        process = subprocess.Popen(["bash", path], start_new_session=True)
        wait_until(lambda: not earlier.exists() or process.poll() is not None, 30, "the script")
        return process

    start.log = lambda number="7": (jobs / f"{number}.log").read_text()
    start.store = store
    return start


def test_it_gives_its_pack_to_the_worker_and_leaves_no_record_of_success(job):
    assert job().wait(AT_LAST) == 0
    assert job.log() == "ids cc\n"
    assert not (job.store.root / "jobs" / "7.exit").exists()


@pytest.mark.parametrize("group", [False, True], ids=["the script alone", "its whole group"])
def test_a_warning_at_any_moment_of_start_and_run_brings_the_job_back(job, group):
    moments = random.Random(0)

    def one(number):
        process = job(str(number))
        time.sleep(moments.uniform(0, 0.6))
        (signal_group if group else process.send_signal)(*((process.pid,) if group else (signal.SIGUSR2,)))
        return number, process.wait(AT_LAST)

    def signal_group(leader):
        subprocess.run(["kill", "-USR2", "--", f"-{leader}"], check=False)

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(one, range(20)))
    for number, code in ends:
        log = job.log(number)
        assert (code == 99 and "back\n" in log) or (code == 0 and "got" not in log), (code, log)
    assert sum(code == 99 for _, code in ends) >= 10


def test_what_stops_a_job_does_not_bring_it_back(job, tmp_path):
    worker(tmp_path, UNTIL_A_SIGNAL)
    process = job()
    process.terminate()
    assert process.wait(AT_LAST) == TOO_EARLY
    assert "got SIGTERM" in job.log() and "back" not in job.log()
    assert end_of_job(job.store, "7") == f"job 7 ended with exit code {TOO_EARLY}: got SIGTERM"


def test_the_clock_warns_where_the_scheduler_does_not(job, tmp_path):
    worker(tmp_path, seconds=AT_LAST)
    assert job(patience=1).wait(AT_LAST) == 99
    assert "got SIGUSR2" in job.log()


def test_a_limit_that_comes_before_the_work_three_times_ends_it(job):
    codes = [99]
    while codes[-1] == 99 and len(codes) < 20:  # bash may lose a worker's code when the clock interrupts it: such a start counts not
        codes.append(job(patience=0).wait(AT_LAST))
    assert codes[-1] == TOO_EARLY and len(codes) >= 4
    assert "Raise launcher.time" in end_of_job(job.store, "7")


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"python": "/nonexistent"}, 127, "/nonexistent"),
        ({"environment": ["echo begin", "cat /nowhere", "echo not reached"]}, 1, "/nowhere"),
        ({"environment": ["module() { false | true; }", "module load x"]}, 1, ""),
        ({"environment": ["source $UNSET_ANYWHERE/activate"]}, 1, "unbound"),
    ],
)
def test_a_job_that_dies_before_its_task_leaves_how(job, given, code, words):
    found = job(**given).wait(AT_LAST)
    assert found == code and "not reached" not in job.log()
    assert f"exit code {code}" in end_of_job(job.store, "7") and words in end_of_job(job.store, "7")


def test_a_job_that_never_began_is_not_called_killed(tmp_path):
    assert end_of_job(Store(tmp_path), "9_0") == "job 9_0 left the queue before it began"
