"""A private Slurm on this host: munge, one controller and nodes told apart by their ports, all children of the tests.

Nothing of it outlives the tests, and nothing of it needs accounting, cgroups or systemd: it runs in a container.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

PROGRAMS = (
    *("munged", "slurmctld", "slurmd", "setpriv"),
    *("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo"),
)
CONFIGURATION = Path("/etc/slurm/slurm.conf")
"""Where Slurm's own programs look. Snakemake's job step drops SLURM_CONF, so a link has to be here."""
MARK = "NTVIZ_TEST_CLUSTER"
"""In the environment of every process of a cluster: the daemons', the jobs' and what these start."""
PARTITION = "main"
CPUS = 2
"""Of each node; emulated, so that jobs of several nodes share the cores of this host."""
GOING = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "RESIZING", "SUSPENDED", "STOPPED"}

T = TypeVar("T")


def wait_for(what: str, found: Callable[[], T], seconds: float, context: Callable[[], str] = str) -> T:
    """What `found` gives, as soon as it is true; a test that waits longer than `seconds` fails and says for what."""
    limit = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > limit:
            pytest.fail(f"waited {seconds:g} s for {what}\n{context()}")
        time.sleep(0.1)
    return value


class Cluster:
    """A controller and `nodes` nodes in `folder`, from `start` to `stop`."""

    def __init__(self, folder: Path, nodes: int = 4) -> None:
        self.folder, self.file = folder, folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = _free_ports(nodes + 1)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that a head and its jobs are started with: this Python's programs first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {MARK: str(self.folder), "PATH": path, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}

    def start(self) -> None:
        """Returns when all nodes are idle."""
        missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
        if missing:
            pytest.fail(
                f"The tests of the cluster need Slurm, munge and setpriv, and found no {', '.join(missing)}. "
                "On Debian and Ubuntu: apt-get install slurmctld slurmd slurm-client munge util-linux"
            )
        for name in ("log", "run", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.file.write_text(self._configuration())
        # A GPU has to be a device; which one, Slurm asks only where cgroups fence it in.
        (self.folder / "gres.conf").write_text("AutoDetect=off\nName=gpu Type=toy File=/dev/null\n")
        fences = ("CgroupAutomount", "ConstrainCores", "ConstrainRAMSpace")
        (self.folder / "cgroup.conf").write_text("".join(f"{name}=no\n" for name in fences))
        self.claim()
        run = self.folder / "run"
        files = {"key-file": key, **{f"{name}-file": f"{run}/munge.{name}" for name in ("pid", "seed")}}
        options = [f"--{name}={file}" for name, file in files.items()]
        self._daemon("munged", "--foreground", "--force", f"--socket={run}/munge.sock", *options)
        wait_for("munge's socket", (run / "munge.sock").exists, 20, self.logs)
        self._daemon("slurmctld", "-D", "-f", self.file)
        for name in self.nodes:
            self.start_node(name)
        self.wait_idle()

    def wait_idle(self, seconds: float = 60) -> None:
        """Until every node can take jobs and has none."""
        wait_for("idle nodes", lambda: set(self.states().values()) == {"idle"}, seconds, self.logs)

    def start_node(self, name: str) -> None:
        """Starts the daemon of a node."""
        self._daemon("slurmd", "-D", "-f", self.file, "-N", name, label=name)

    def fail_node(self, name: str) -> None:
        """A node without power: its daemon and all that runs on it are gone at once, and nobody is told."""
        running = [each for each in self.processes() if variables(each).get("SLURMD_NODENAME") == name]
        # What watches a job tells the controller of its end, so it goes first; it shows no environment of its own.
        watching = {each for job in running for each in job.parents() if each.name() == "slurmstepd"}
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait(10)
        for process in (*watching, *running):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """Ends jobs, daemons and whatever jobs left behind."""
        with suppress(subprocess.SubprocessError, OSError):
            self.call("scancel", "--state=PENDING,RUNNING,SUSPENDED", f"--user={os.getuid()}")
            limit = time.monotonic() + 15
            while self.queue() and time.monotonic() < limit:
                time.sleep(0.1)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(10)
        self._daemons.clear()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        with suppress(OSError):
            if CONFIGURATION.is_symlink() and CONFIGURATION.readlink() == self.file:
                CONFIGURATION.unlink()
        wait_for("the end of all processes", lambda: not self.processes(), 10, lambda: str(self.processes()))

    def call(self, *arguments: object, seconds: float = 60, check: bool = True) -> str:
        """What a program of Slurm prints."""
        words, variables = list(map(str, arguments)), {**os.environ, **self.environment}
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, env=variables)
        if check and done.returncode:
            raise OSError(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def submit(self, *arguments: object, cwd: Path | None = None) -> str:
        """The number of a job given to sbatch."""
        done = self.call("sbatch", "--parsable", *([f"--chdir={cwd}"] if cwd else []), *arguments)
        return done.strip().partition(";")[0]

    def states(self) -> dict[str, str]:
        """The state of each node in the controller's words; '*' means that it does not answer."""
        lines = self.call("sinfo", "--noheader", "--Node", "--format=%N %t", check=False).splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def queue(self) -> list[str]:
        """Numbers of the jobs that have not ended."""
        return self.call("squeue", "--noheader", "--format=%A").split()

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs since the start, by number, as the controller remembers them: it forgets none within an hour."""
        found = {}
        for line in self.call("scontrol", "--oneliner", "show", "job", check=False).splitlines():
            facts = dict(re.findall(r"(\w+)=(.*?)(?= \w+(?::\w+)?=|$)", line))
            if "JobId" in facts:
                found[facts["JobId"]] = facts
        return found

    def wait_ended(self, job: str, seconds: float) -> dict[str, str]:
        """The record of a job once it has ended."""

        def ended() -> bool:
            return self.jobs()[job]["JobState"] not in GOING

        wait_for(f"the end of job {job}", ended, seconds, self.logs)
        return self.jobs()[job]

    def processes(self, job: str | None = None, words: str = "") -> list[psutil.Process]:
        """Living processes of this cluster, or of one of its jobs, with `words` in their command line."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                known = variables(process)
                ours = known.get(MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE
                asked = job is None or known.get("SLURM_JOB_ID") == job
                if ours and asked and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def logs(self, lines: int = 15) -> str:
        """The ends of all logs, and the queue: what one reads when a test fails."""
        ends = [self.call("squeue", "--all", check=False), self.call("sinfo", "--Node", check=False)]
        for file in sorted((self.folder / "log").glob("*.log")):
            ends += [f"--- {file.name}", *file.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(ends)

    def _daemon(self, program: str, *arguments: object, label: str = "") -> None:
        label = label or program
        # Should the tests be killed, the kernel ends their daemons.
        command = [shutil.which("setpriv", path=_path()), "--pdeathsig", "TERM"]
        command += [shutil.which(program, path=_path()), *map(str, arguments)]
        with (self.folder / "log" / f"{label}.log").open("ab") as output:
            # A session of its own: Ctrl-C in the tests is for the tests, which end the daemons in order.
            self._daemons[label] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip

    def claim(self) -> None:
        """Links the configuration to where Slurm looks for it, unless another cluster's is there."""
        # Tests that were killed leave it; their daemons end with them.
        left = CONFIGURATION.resolve().parent
        ours = (left / "munge.key").exists()
        alive = any(variables(each).get(MARK) == str(left) for each in psutil.process_iter())
        if CONFIGURATION.exists() and (alive or not ours):
            pytest.fail(
                f"{CONFIGURATION} must be free for the cluster of the tests, but another is there: "
                "this host is part of a cluster, or other tests run. Run them elsewhere, or wait"
            )
        try:
            CONFIGURATION.parent.mkdir(exist_ok=True)
            CONFIGURATION.unlink(missing_ok=True)
            CONFIGURATION.symlink_to(self.file)
        except PermissionError as error:
            pytest.fail(
                f"The tests of the cluster must put a link at {CONFIGURATION}, but {error}. "
                f"Run them as root, or own that folder: sudo chown $USER {CONFIGURATION.parent}"
            )

    def _configuration(self) -> str:
        host, user = socket.gethostname().partition(".")[0], psutil.Process().username()
        memory = psutil.virtual_memory().total // 2**20 * 9 // 10 // len(self.nodes)
        run = self.folder / "run"
        # A requeued job starts after twice cred_expire; Slurm's own default is two minutes. config_overrides: nodes with
        # more cores, together, than this host has. MinJobAge: the controller's memory is the log that the tests read.
        lines = f"""\
ClusterName=ntviz
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={self._ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={run}/munge.sock,cred_expire=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={run}/spool.%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=100000
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MailProg=/bin/true
KillWait=2
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout=15
DefMemPerCPU=512
GresTypes=gpu""".splitlines()
        lines += [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
            f"RealMemory={memory} Gres=gpu:toy:1 Feature=small State=UNKNOWN"
            for name, port in zip(self.nodes, self._ports[1:], strict=True)
        ]
        lines.append(f"PartitionName={PARTITION} Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
        return "\n".join(lines) + "\n"


@contextmanager
def cluster(folder: Path, nodes: int = 4) -> Iterator[Cluster]:
    """A cluster that is ended whatever happens."""
    made = Cluster(folder, nodes)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _path() -> str:
    """Where programs are; those of Slurm's daemons are not on every user's path."""
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def variables(process: psutil.Process) -> dict[str, str]:
    """The environment of a process as it began; empty if it is gone."""
    with suppress(psutil.Error):
        return process.environ()
    return {}


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def worked(process: psutil.Process) -> float:
    """Seconds of a processor that a process has used; 0 if it is gone."""
    with suppress(psutil.Error):
        return sum(process.cpu_times()[:2])
    return 0
