"""The Slurm script, run with stand-ins for Slurm's commands that carry out locally what a cluster would do on its nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"
STAND_INS = {
    "srun": """
        trap 'stop=yes; kill -TERM $(jobs -p)' TERM
        n=1
        while [[ $1 == -* ]]; do
            [[ $1 == --nodes=* ]] && n=${1#*=}
            options+=" $1"; shift
        done
        echo "srun$options" >>"$LOG"
        for ((i = 0; i < n; i++)); do "$@" & done
        [[ -z ${stop:-} ]] || kill -TERM $(jobs -p)
        wait; wait
    """,
    "ray": """
        if [[ $1 == status ]]; then [[ -z ${NO_ANSWER:-} ]] && grep -q '^ray start --head' "$LOG"; exit; fi
        [[ -z ${NO_HEAD:-} ]] || exit 1
        trap 'exit 143' TERM
        echo "ray $* | mode=$RAY_AUTH_MODE token=$RAY_AUTH_TOKEN" >>"$LOG"; echo $$ >>"$LOG.pids"
        while :; do sleep 0.05; done
    """,
    "python": """
        [[ $1 == -m && $2 == tuner.search ]] || exit 99
        shift 2
        trap 'echo "search heard TERM" >>"$LOG"; sleep 0.3; exit 130' TERM
        mkdir -p "$RUNS_DIR/big"; touch "$RUNS_DIR/big/search.json"
        echo "search $*" >>"$LOG"; echo $$ >>"$LOG.pids"
        [[ -z ${SEARCH_ENDS:-} ]] || exit "$SEARCH_ENDS"
        while :; do sleep 0.05; done
    """,
    "scontrol": """
        if [[ $1 == show ]]; then printf 'node1\\nnode2\\nnode3\\n'; else echo "scontrol $*" >>"$LOG"; fi
    """,
    "squeue": """ echo "${STATE:-RUNNING}" """,
    "hostname": """ echo "10.0.0.1 192.168.0.1 " """,
    "sleep": """ exec /bin/sleep 0.05 """,
}


@dataclass
class Cluster:
    """Three nodes, on paper."""

    folder: Path

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        own = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "LOG": str(self.folder / "log"),
            "RUNS_DIR": str(self.folder / "runs"),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "node[1-3]",
            "SLURM_CPUS_PER_TASK": "16",
            "SLURM_GPUS_ON_NODE": "4",
        }
        command = ["bash", str(SCRIPT), *arguments]
        given = {**own, **environment}
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status, and what was said to the user."""
        process = self.start(*arguments, **environment)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def wait_for(self, line: str) -> None:
        end = time.monotonic() + 30
        while not any(found.startswith(line) for found in self.log):
            assert time.monotonic() < end, self.log
            time.sleep(0.02)

    def lines(self, start: str) -> list[str]:
        return [line for line in self.log if line.startswith(start)]

    def left(self) -> list[int]:
        """Raylets and searches that still run."""
        pids = [int(line) for line in (self.folder / "log.pids").read_text(encoding="utf-8").split()]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    found = Cluster(tmp_path)
    yield found
    if (tmp_path / "log.pids").exists():
        for pid in found.left():
            os.kill(pid, signal.SIGKILL)


def test_head_first_then_a_raylet_on_each_other_node(cluster: Cluster) -> None:
    status, _ = cluster.run("big", "--space", "smart_mtl", "--trials", "20", SEARCH_ENDS="0")
    assert status == 0
    kinds = [line.split(" --")[0] for line in cluster.log if not line.startswith("ray start --address")]
    assert kinds == ["srun", "ray start", "srun", "search"] or kinds == ["srun", "ray start", "search", "srun"]
    head, workers = cluster.lines("srun")
    assert "--nodes=1 --ntasks=1 --nodelist=node1" in head
    assert "--nodes=2 --ntasks=2 --exclude=node1" in workers
    assert all("--cpus-per-task=16 --overlap" in step for step in (head, workers))
    (ray_head,) = cluster.lines("ray start --head")
    assert "--node-ip-address=10.0.0.1 --port=24711 --dashboard-host=127.0.0.1 --num-cpus=16 --num-gpus=4" in ray_head
    assert cluster.lines("search ") == [
        f"search --name big --address 10.0.0.1:24711 --runs-dir {cluster.folder / 'runs'} --space smart_mtl --trials 20"
    ]
    assert cluster.left() == []


def test_every_node_is_joined_before_the_search_goes_on(cluster: Cluster) -> None:
    process = cluster.start("big")
    cluster.wait_for("search --name big")
    end = time.monotonic() + 30
    while len(cluster.lines("ray start --address=10.0.0.1:24711")) < 2:
        assert time.monotonic() < end, cluster.log
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)


def test_one_token_for_all_in_the_environment_alone(cluster: Cluster) -> None:
    process = cluster.start("big")
    cluster.wait_for("ray start --address")
    cluster.wait_for("search")
    process.terminate()
    _, said = process.communicate(timeout=60)
    tokens = {line.rpartition("token=")[2] for line in cluster.lines("ray start")}
    (token,) = tokens
    assert len(token) == 64
    assert {line.rpartition("mode=")[2].split()[0] for line in cluster.lines("ray start")} == {"token"}
    arguments = [line.partition(" | ")[0] for line in cluster.log]
    assert not [line for line in [*arguments, said] if token in line]


def test_a_given_token_is_kept(cluster: Cluster) -> None:
    cluster.run("big", SEARCH_ENDS="0", RAY_AUTH_TOKEN="open-sesame")
    assert all(line.endswith("token=open-sesame") for line in cluster.lines("ray start"))


def test_the_time_limit_ends_the_search_gently_and_the_job_goes_on_where_it_was(cluster: Cluster) -> None:
    process = cluster.start("big", "--space", "smart_mtl")
    cluster.wait_for("search --name big")
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    heard = [line for line in cluster.log if line in ("search heard TERM", "scontrol requeue 4711")]
    assert heard == ["search heard TERM", "scontrol requeue 4711"]
    assert "the search big goes on from there" in said
    assert cluster.left() == []
    status, _ = cluster.run("big", "--space", "smart_mtl", SLURM_RESTART_COUNT="1", SEARCH_ENDS="0")
    assert status == 0
    assert cluster.lines("search ")[-1] == (
        f"search --resume big --address 10.0.0.1:24711 --runs-dir {cluster.folder / 'runs'}"
    )
    assert len(cluster.lines("scontrol requeue")) == 1


def test_more_trials_for_a_search_that_is_there(cluster: Cluster) -> None:
    cluster.run("big", SEARCH_ENDS="0")
    cluster.run("big", "--trials", "400", SEARCH_ENDS="0")
    assert cluster.lines("search ")[-1].startswith("search --resume big")
    assert cluster.lines("search ")[-1].endswith("--trials 400")


@pytest.mark.parametrize("ends", ["0", "1", "2", "3"])
def test_what_came_to_its_end_is_not_queued_again(cluster: Cluster, ends: str) -> None:
    status, _ = cluster.run("big", SEARCH_ENDS=ends)
    assert status == int(ends)
    assert cluster.lines("scontrol requeue") == []
    assert cluster.left() == []


def test_a_cancelled_job_is_not_queued_again(cluster: Cluster) -> None:
    process = cluster.start("big", STATE="COMPLETING")
    cluster.wait_for("search")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert cluster.lines("scontrol requeue") == []
    assert cluster.left() == []


def test_the_time_limit_before_the_search_has_begun(cluster: Cluster) -> None:
    process = cluster.start("big", NO_ANSWER="1")
    cluster.wait_for("ray start --head")
    process.terminate()
    process.communicate(timeout=60)
    assert cluster.lines("search") == []
    assert cluster.lines("scontrol requeue") == ["scontrol requeue 4711"]


def test_a_head_that_does_not_start_is_told(cluster: Cluster) -> None:
    status, said = cluster.run("big", NO_HEAD="1")
    assert (status, said) == (2, "the head of the Ray cluster did not start on node1; what it said stands above\n")
    assert cluster.lines("search") == []


@pytest.mark.parametrize("arguments", [(), ("--space", "smart_mtl")])
def test_a_search_needs_a_name(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    assert cluster.run(*arguments) == (2, "usage: sbatch cluster/slurm.sh NAME [OPTIONS OF THE SEARCH]\n")


def test_outside_of_slurm(cluster: Cluster) -> None:
    status, said = cluster.run("big", SLURM_JOB_ID="")
    assert (status, said) == (2, "this script is for Slurm: sbatch cluster/slurm.sh NAME [OPTIONS OF THE SEARCH]\n")
