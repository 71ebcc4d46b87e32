"""A default run asks no other machine for anything, not even for a name: traced at the system calls, child processes included."""

import os
import re
import shutil
import subprocess
import sys

import pytest

ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
ELSEWHERE = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))"


def addresses(folder, *words):
    """The addresses beyond this machine that a Python process and its children were connected to or sent packets to."""
    trace = folder / "trace"
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):  # what a user has set
        environment.pop(name, None)
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", calls, "-o", trace, sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("processes cannot be traced here")
    assert done.returncode == 0, done.stderr
    found = {four or six for four, six in ADDRESS.findall(trace.read_text())}
    return {address for address in found if not address.startswith(("127.", "::1", "::ffff:127.", "0.0.0.0")) and address != "::"}


@pytest.mark.slow(15)
def test_a_default_run_sends_nothing_to_another_machine(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    assert addresses(tmp_path, "-c", ELSEWHERE) == {"192.0.2.1"}
    assert addresses(tmp_path, "-m", "eigexp", "run", "model=ln", "images.size=16") == set()
    assert list((tmp_path / "outputs" / "wandb").glob("offline-run-*"))  # W&B was at work
