"""Processes forked from the warm server, with the part of subprocess that tests use. Imports little: each nested start loads it."""

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Process:
    """`python ARGUMENTS`, with arguments ["-m", module, ...] or [script, ...]; killed when this process ends before it."""

    seconds = 0.0  # of processor time, of all that have ended

    def __init__(
        self,
        arguments: "list[str]",
        folder: str,
        cwd: "str | Path | None" = None,
        env: "dict[str, str] | None" = None,
        stdin: "IO[Any] | int | None" = None,
        stdout: "IO[Any] | int | None" = None,
        stderr: "IO[Any] | int | None" = None,
        start_new_session: bool = False,
        pass_fds: "Iterable[int]" = (),
    ):
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(os.path.join(folder, "socket"))
        request = {
            "arguments": arguments,
            "cwd": os.path.abspath(cwd or "."),
            "environment": dict(os.environ if env is None else env),
            "group": start_new_session,
            "more": list(pass_fds),
        }
        files, opened = [], []
        for number, given in enumerate((stdin, stdout, stderr)):
            if given == subprocess.STDOUT:
                files.append(files[1])
            elif given == subprocess.DEVNULL:
                opened.append(os.open(os.devnull, os.O_RDWR))
                files.append(opened[-1])
            else:
                files.append(number if given is None else given if isinstance(given, int) else given.fileno())
        data = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self._connection, [data], [*files, *request["more"]])
        self._connection.sendall(data[sent:])
        for file in opened:
            os.close(file)
        self.pid = int(self._line())

    def _line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            part = self._connection.recv(1)
            if not part:
                raise ConnectionError("The warm server has gone.")
            data += part
        return data.decode()

    def poll(self) -> "int | None":
        """The exit code, as of subprocess; None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: "float | None" = None) -> int:
        """Wait for its end; returns the exit code."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("eigexp", timeout or 0)
            status, seconds = self._line().split()
            self.returncode = os.waitstatus_to_exitcode(int(status))
            Process.seconds += float(seconds)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)
