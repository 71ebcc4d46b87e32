"""A throw-away Slurm on this machine: its own daemons, ports and files, no systemd; as root."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.daemons import end

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol", "scancel")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=10
CredType=cred/munge
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,requeue_setup_env_fail
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=00:00:00
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
KillWait=5
InactiveLimit=0
SlurmctldTimeout=60
SlurmdTimeout=60
ReturnToService=2
DefMemPerCPU=500
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
SlurmdParameters=config_overrides
GresTypes=gpu
"""
PARTITIONS = """
PartitionName=low Nodes={nodes} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 MaxTime=INFINITE State=UP
PartitionName=high Nodes={nodes} PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
PartitionName=large Nodes={large} MaxTime=INFINITE State=UP
"""
LARGE = "large"


def missing() -> list[str]:
    """Programs of Slurm and munge that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


class Cluster:
    """Nodes n1, n2, ... of one CPU each, a partition `low` whose jobs `high` preempts; node and partition `large`: two CPUs, a GPU.

    The GPU is a number that Slurm counts; there is no device behind it.
    """

    def __init__(self, root: Path, nodes: int = 2):
        self.root, self.nodes = root, [f"n{i + 1}" for i in range(nodes)]
        self._every = [*self.nodes, LARGE]
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(root / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._told: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._write()
        munge = self.root / "munge"
        options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._daemon("munged", ["munged", "--foreground", "--force", *(f"--{o}={munge / name}" for o, name in options.items())])
        wait_until(lambda: (munge / "socket").exists(), 20, "munged")
        self._daemon("slurmctld", ["slurmctld", "-D", "-f", self.environment["SLURM_CONF"]])
        wait_until(lambda: "UP" in self.ask("scontrol", "ping"), 20, "slurmctld")
        for node in self._every:
            self.start_node(node)
        wait_until(lambda: set(self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) == set(self._every), 40, "nodes")

    def start_node(self, node: str) -> None:
        self._daemon(node, ["slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"]])

    def kill_node(self, node: str) -> None:
        """Kill its daemon, as a crash would."""
        self._daemons[node].kill()
        self._daemons[node].wait()

    def restart_controller(self) -> None:
        """As an administrator would."""
        self._daemons["slurmctld"].terminate()
        self._daemons["slurmctld"].wait()
        self._daemon("slurmctld", ["slurmctld", "-D", "-f", self.environment["SLURM_CONF"]])
        wait_until(lambda: "UP" in self.ask("scontrol", "ping"), 30, "the controller")

    def away(self) -> str:
        """A configuration with which the controller does not answer: nothing listens at its port, and nobody waits for it."""
        lines = (self.root / "slurm.conf").read_text().splitlines()
        others = {"SlurmctldPort": free_ports(1)[0], "SlurmctldTimeout": 2}  # a command asks again for so long
        kept = [line for line in lines if line.partition("=")[0] not in others]
        path = self.root / "away.conf"
        path.write_text("\n".join([*kept, "MessageTimeout=1", *(f"{key}={value}" for key, value in others.items()), ""]))
        return str(path)

    def stop(self) -> None:
        for command in self._told:
            command.wait()
        self.ask("scancel", "--state=PENDING", f"--user={os.environ.get('USER', 'root')}")
        self.ask("scancel", f"--user={os.environ.get('USER', 'root')}")
        deadline = time.monotonic() + 200
        while self.ask("squeue", "-h").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        end(self._daemons.values(), 100)

    def ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=900).stdout

    def tell(self, *command: str) -> None:
        """Run a command without waiting for it: scancel retries for a minute when the job that it signals changes its state meanwhile."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._told.append(subprocess.Popen(["timeout", "20", *command], env=self.environment, **quiet))

    def jobs(self, *more: str) -> list[list[str]]:
        """[job, state, node] of each job that is in the queue."""
        lines = self.ask("squeue", "-h", "--array", "-o", "%F_%K|%T|%N", *more).splitlines()
        return [line.split("|") for line in lines]

    def _write(self) -> None:
        munge = self.root / "munge"
        munge.mkdir(mode=0o755, parents=True)
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        (self.root / "state").mkdir()
        for node in self._every:
            (self.root / f"spool.{node}").mkdir()
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n")
        (self.root / "gres.conf").write_text(f"NodeName={LARGE} Name=gpu File=/dev/null\n")
        host, ports = socket.gethostname().partition(".")[0], free_ports(1 + len(self._every))
        lines = [CONF.format(root=self.root, host=host, port=ports[0], user=os.environ.get("USER", "root"))]
        for node, port in zip(self._every, ports[1:], strict=True):
            size = "CPUs=2 Gres=gpu:1 Feature=roomy" if node == LARGE else "CPUs=1"
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {size} RealMemory=4000 State=UNKNOWN\n")
        lines.append(PARTITIONS.format(nodes=",".join(self.nodes), large=LARGE))
        (self.root / "slurm.conf").write_text("".join(lines))

    def _daemon(self, name: str, command: Sequence[str]) -> None:
        with (self.root / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Fails only where nothing comes: `seconds` are what a quiet machine needs at most, and a busy one gets ten times as long."""
    deadline = time.monotonic() + 10 * seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} not there after {10 * seconds:g} s"
        time.sleep(0.1)
