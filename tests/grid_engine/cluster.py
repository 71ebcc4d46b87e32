"""A throw-away Grid Engine on this machine, from Debian's packages: its own daemons, ports and files, no systemd; as root."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.daemons import end
from tests.slurm.cluster import free_ports, wait_until

PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qdel", "qconf")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
LIBRARY = Path("/usr/lib/gridengine")
SHARE = Path("/usr/share/gridengine")

BOOTSTRAP = """
admin_user root
default_domain none
ignore_fqdn true
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {root}/spooldb
binary_path /usr/sbin
qmaster_spool_dir {root}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
CHANGED = {"min_uid": "0", "min_gid": "0", "load_report_time": "00:00:02", "mailer": "/bin/true", "finished_jobs": "0"}
QUEUE = """
qname all.q
hostlist {host}
slots {slots}
shell /bin/bash
shell_start_mode unix_behavior
notify 00:00:20
rerun TRUE
qtype BATCH
tmpdir /tmp
min_cpu_interval 00:00:05
seq_no 0
priority 0
nsuspend 1
suspend_interval 00:05:00
processors UNDEFINED
initial_state default
"""
NONE = "load_thresholds suspend_thresholds ckpt_list pe_list prolog epilog starter_method suspend_method resume_method terminate_method"
NONE += " owner_list user_lists xuser_lists subordinate_list complex_values projects xprojects calendar"
INFINITY = [f"{kind}_{limit}" for kind in "sh" for limit in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")]


def missing() -> list[str]:
    """Programs of Grid Engine that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


class GridEngine:
    """One queue `all.q` on this machine.

    Args:
        root: an empty folder.
        slots: jobs at once.
    """

    def __init__(self, root: Path, slots: int = 2):
        self.root, self.slots = root, slots
        self.host = socket.gethostbyaddr(socket.gethostbyname(socket.gethostname()))[0]  # as the daemons find it: "localhost", perhaps
        master, execd = free_ports(2)
        self.environment = {
            **os.environ, "PATH": PATH, "SGE_ROOT": str(root), "SGE_CELL": "default", "SGE_QMASTER_PORT": str(master),
            "SGE_EXECD_PORT": str(execd), "SGE_ND": "true", "SGE_ENABLE_COREDUMP": "",
        }  # fmt: skip
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self._write()
        self.start_master()
        self.ask("qconf", "-ah", self.host)
        self.ask("qconf", "-as", self.host)
        self._daemon("execd", "/usr/sbin/sge_execd")
        wait_until(lambda: self.host in self.ask("qconf", "-sel"), 30, "the execution host")
        rest = [*(f"{name} NONE" for name in NONE.split()), *(f"{name} INFINITY" for name in INFINITY)]
        (self.root / "queue").write_text("\n".join([QUEUE.format(host=self.host, slots=self.slots).strip(), *rest, ""]))
        self.ask("qconf", "-Aq", str(self.root / "queue"))
        self._quick_scheduler()
        wait_until(lambda: "lx-" in self.ask("qhost", "-h", self.host), 40, "its load")

    def start_master(self) -> None:
        self._daemon("qmaster", "/usr/sbin/sge_qmaster")
        wait_until(lambda: self.ask("qconf", "-ss").strip() or "no submit" in self.words("qconf", "-ss"), 30, "the master")

    def restart_master(self) -> None:
        """As a crash of its machine would."""
        self._daemons["qmaster"].kill()
        self._daemons["qmaster"].wait()
        self.start_master()

    def stop(self) -> None:
        self.ask("qdel", "-f", "-u", "*")
        end(self._daemons.values(), 10)

    def ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=900).stdout

    def words(self, *command: str) -> str:
        run = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=900)
        return run.stdout + run.stderr

    def jobs(self) -> list[str]:
        """The lines of qstat, one for each job of an array."""
        return self.ask("qstat", "-g", "d", "-u", "*").splitlines()[2:]

    def _quick_scheduler(self) -> None:
        lines = self.ask("qconf", "-ssconf").splitlines()
        quick = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        changed = [f"{line.split()[0]} {quick.get(line.split()[0], ' '.join(line.split()[1:]))}" for line in lines if line]
        (self.root / "scheduler").write_text("\n".join(changed) + "\n")
        self.ask("qconf", "-Msconf", str(self.root / "scheduler"))

    def _write(self) -> None:
        common = self.root / "default" / "common"
        for folder in (common, self.root / "spooldb", self.root / "qmaster" / "job_scripts", self.root / "execd", self.root / "bin"):
            folder.mkdir(parents=True)
        architecture = subprocess.run([SHARE / "util/arch"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("bin", "lib", "utilbin"):
            (self.root / name).mkdir(exist_ok=True)
            (self.root / name / architecture).symlink_to(LIBRARY)
        (self.root / "util").symlink_to(SHARE / "util")
        (common / "bootstrap").write_text(BOOTSTRAP.format(root=self.root).lstrip())
        (common / "act_qmaster").write_text(self.host + "\n")
        (common / "host_aliases").write_text(f"{self.host} {socket.gethostname()}\n")
        lines = []
        for line in (SHARE / "default-configuration").read_text().splitlines():
            key = line.split()[0] if line.split() else ""
            value = str(self.root / "execd") if key == "execd_spool_dir" else CHANGED.get(key)
            lines.append(line if value is None else f"{key} {value}")
        (self.root / "configuration").write_text("\n".join(lines) + "\n")
        steps = [
            [LIBRARY / "spoolinit", "berkeleydb", "libspoolb", self.root / "spooldb", "init"],
            [LIBRARY / "spooldefaults", "configuration", self.root / "configuration"],
            [LIBRARY / "spooldefaults", "complexes", SHARE / "util/resources/centry"],
            [LIBRARY / "spooldefaults", "usersets", SHARE / "util/resources/usersets"],
            [LIBRARY / "spooldefaults", "managers", "root"],
        ]
        for step in steps:
            subprocess.run([str(word) for word in step], env=self.environment, check=True, capture_output=True, timeout=900)

    def _daemon(self, name: str, program: str) -> None:
        with (self.root / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [program], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
