"""The doctor: findings from nodes' reports, and the groups of ranks."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.node import Node
from cluster.shape import SPREAD, GangShape
from tuner.artifacts.addresses import endpoint
from tuner.commands.doctor import cluster_checks, node_checks, ranks
from tuner.commands.doctor.finding import Finding
from tuner.commands.doctor.node import Disk, NodeProbe, NodeReport, code_digest, unreachable
from tuner.commands.doctor.ranks import RankGroup

CARD = {"name": "H100", "memory_mib": 81559, "driver": "550.1"}
REPORT = NodeReport(
    versions={"python": "3.11.7", "torch": "2.13.0"},
    code="a" * 64,
    gpus=(),
    cuda=None,
    disks={"runs": Disk("/runs", 50.0, 0.4), "temporary": Disk("/tmp", 20.0, 0.5), "shared memory": Disk("/dev/shm", 8.0, 0.0)},
    unreachable={},
)


def changed(**values: Any) -> NodeReport:
    return dataclasses.replace(REPORT, **values)


def statuses(findings: list[Finding]) -> list[str]:
    return [finding.status for finding in findings]


def test_a_node_with_another_version_or_without_a_package_fails() -> None:
    other = changed(versions={"python": "3.11.7", "torch": "2.12.1"})
    lacking = changed(versions={"python": "3.12.1", "torch": None})
    found = node_checks.versions({"a": REPORT, "b": other, "c": lacking, "d": REPORT})
    assert statuses(found) == ["PASS", "FAIL", "FAIL", "PASS"]
    assert found[1].message == "torch is 2.12.1, on a 2.13.0"
    assert found[2].message == "python is 3.12.1, on a 3.11.7, torch is missing, on a 2.13.0"
    assert found[1].advice


def test_what_the_driver_lacks_fails() -> None:
    (found,) = node_checks.versions({"a": changed(versions={"python": "3.11.7", "torch": None})})
    assert (found.status, found.message) == ("FAIL", "no torch")


def test_other_code_fails() -> None:
    assert statuses(node_checks.code({"a": REPORT, "b": changed(code="b" * 64), "c": REPORT})) == ["PASS", "FAIL", "PASS"]


def test_the_digest_of_the_code_sees_any_change(tmp_path: Path) -> None:
    for folder in ("tuner", "model"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text("1")
    before = code_digest(tmp_path)
    assert code_digest(tmp_path) == before
    (tmp_path / "model" / "notes.txt").write_text("no code")
    assert code_digest(tmp_path) == before
    (tmp_path / "model" / "x.py").rename(tmp_path / "model" / "y.py")
    assert code_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("asked", "answered", "theirs", "status", "word"),
    [
        (100.0, 100.1, 100.05, "PASS", "within"),
        (100.0, 130.0, 101.0, "PASS", "within"),
        (100.0, 100.1, 97.5, "FAIL", "2.5 s behind"),
        (100.0, 100.1, 103.1, "FAIL", "3.0 s ahead of"),
    ],
)
def test_clock_skew_is_what_the_answers_journey_cannot_explain(
    asked: float, answered: float, theirs: float, status: str, word: str
) -> None:
    found = node_checks.clock("a", asked, answered, theirs)
    assert found.status == status
    assert word in found.message


def test_gpus_that_torch_cannot_use_fail_and_their_absence_is_judged_by_what_trials_ask() -> None:
    with_gpu, broken = changed(gpus=(CARD, CARD)), changed(gpus=(CARD,), cuda="torch 2.13.0+cpu was built for CUDA None")
    asks, asks_none = GangShape(gpus_per_worker=1.0), GangShape()
    found = node_checks.gpus({"a": REPORT, "b": with_gpu, "c": broken}, asks)
    assert statuses(found) == ["SKIP", "PASS", "FAIL"]
    assert "2 × H100 (driver 550.1)" in found[1].message
    (nowhere,) = node_checks.gpus({"a": REPORT}, asks)
    assert nowhere.status == "FAIL"
    assert "--gpus-per-worker 0" in nowhere.advice
    assert statuses(node_checks.gpus({"a": REPORT}, asks_none)) == ["SKIP"]


def test_disks_are_held_against_what_the_search_writes() -> None:
    need = node_checks.disk_need_gib(440 * 2**20, slots=8)
    assert need == pytest.approx(1 + 440 / 1024 * (8 * 9 + 2))
    full = changed(disks=REPORT.disks | {"temporary": Disk("/tmp", 0.5, 0.97)})
    small = changed(disks=REPORT.disks | {"runs": Disk("/runs", need - 0.1, 0.4)})
    container = changed(disks=REPORT.disks | {"shared memory": Disk("/dev/shm", 0.06, 0.0)})
    reports = {"a": REPORT, "b": full, "c": small, "d": container}
    assert statuses(node_checks.disks(reports, need, shares_memory=True)) == ["PASS", "FAIL", "FAIL", "FAIL"]
    assert statuses(node_checks.disks(reports, None, shares_memory=False)) == ["PASS", "FAIL", "PASS", "PASS"]


def test_stores_data_and_folder_are_checked_on_every_node() -> None:
    away = changed(unreachable={"database": "Connection refused"})
    found = node_checks.stores({"a": REPORT, "b": away}, {"database": ("db", 5432)})
    assert statuses(found) == ["PASS", "FAIL"]
    assert "Connection refused" in found[1].message
    assert "port 5432 of db" in found[1].advice
    told: dict[str, str | list[str]] = {"a": "1" * 64, "b": "2" * 64, "c": ["/data/sts-train.csv does not exist"]}
    found = node_checks.data(told, "1" * 64)
    assert statuses(found) == ["PASS", "FAIL", "FAIL"]
    assert "sts-train.csv" in found[2].message
    found = node_checks.folder("/runs", {"a": (True, True), "b": (True, False), "c": (False, False)})
    assert statuses(found) == ["PASS", "FAIL", "FAIL"]
    assert "is not the driver's folder" in found[1].message


def test_every_line_is_one_line() -> None:
    line = Finding("data", "FAIL", "two\nlines", "mend it", "10.0.0.1").line()
    assert line == "FAIL  data        10.0.0.1: two lines; mend it"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://ann:x@db/optuna", ("db", 5432)),
        ("postgresql+psycopg://db:6543/optuna", ("db", 6543)),
        ("https://mlflow.example.org", ("mlflow.example.org", 443)),
        ("http://localhost:5000", ("localhost", 5000)),
        ("sqlite:////runs/mlflow.db", None),
        ("journal:/runs/study.journal", None),
        ("", None),
        ("http://host:port", None),
    ],
)
def test_endpoint_of_a_store(address: str, expected: tuple[str, int] | None) -> None:
    assert endpoint(address) == expected


@pytest.mark.parametrize(("scheme", "told"), [("journal:", ""), ("sqlite:///", "there is no folder")])
def test_a_store_in_the_new_folder_of_the_search_passes(tmp_path: Path, scheme: str, told: str) -> None:
    run = tmp_path / "run"
    assert cluster_checks.database(f"{scheme}{run / 'file'}", run).status == "PASS"
    elsewhere = cluster_checks.database(f"{scheme}{tmp_path / 'x' / 'file'}", run)
    assert elsewhere.status == ("FAIL" if told else "PASS"), "a journal's folder is made"
    assert told in elsewhere.message
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_an_answer_is_reported_without_its_password(tmp_path: Path) -> None:
    found = cluster_checks.database("postgresql://ann:open-sesame@127.0.0.1:9/optuna", tmp_path)
    assert found.status == "FAIL"
    assert "open-sesame" not in found.line()
    hanging = cluster_checks._in_time("database", "it", lambda: time.sleep(60), "mend", 0.2)
    assert hanging.message == "it gives no answer within 0.2 s"


def test_a_node_tells_whether_it_shares_the_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / ".doctor-1").touch()
    assert NodeProbe().shares(str(tmp_path), ".doctor-1") == (True, True)
    assert NodeProbe().shares(str(tmp_path), ".doctor-2") == (True, False)
    assert NodeProbe().shares(str(tmp_path / "none"), ".doctor-1") == (False, False)
    assert [path.name for path in tmp_path.iterdir()] == [".doctor-1"]


def test_a_closed_port_has_a_reason() -> None:
    assert unreachable("127.0.0.1", 9) == "Connection refused"


HERE, THERE = Node("1", "10.0.0.1", 8.0, 2.0, 8.0, 2.0), Node("2", "10.0.0.2", 8.0, 2.0, 8.0, 2.0)
SMALL = Node("3", "10.0.0.3", 1.0, 1.0, 1.0, 1.0)


def test_ranks_meet_within_each_node_that_holds_a_gang() -> None:
    found = ranks.rank_groups([HERE, THERE, SMALL], GangShape(n_workers=4, cpus_per_worker=2))
    assert found[:2] == [RankGroup((HERE,) * 4), RankGroup((THERE,) * 4)]
    assert isinstance(found[2], Finding)
    assert found[2].status == "SKIP"
    assert ranks.rank_groups([SMALL], GangShape()) == [RankGroup((SMALL,) * 2)], "a lone rank is tried with a second"


def test_ranks_of_gpus_need_one_each() -> None:
    shape = GangShape(gpus_per_worker=0.5)
    one, two = ranks.rank_groups([SMALL, HERE], shape)
    assert isinstance(one, Finding)
    assert "second GPU" in one.message
    assert two == RankGroup((HERE, HERE), 1.0)
    assert two.backend == "NCCL"


def test_pairs_of_nodes_meet_where_a_gang_may_span_them() -> None:
    found = ranks.rank_groups([HERE, THERE], GangShape(placement=SPREAD))
    assert [group.where for group in found if isinstance(group, RankGroup)] == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.1 and 10.0.0.2",
    ]
    assert len(ranks.rank_groups([HERE, THERE], GangShape())) == 2
    narrow = GangShape(n_workers=2, cpus_per_worker=8, placement=SPREAD)
    assert [group for group in ranks.rank_groups([HERE, THERE], narrow) if isinstance(group, RankGroup)] == [
        RankGroup((HERE, THERE))
    ], "a node that holds one rank of the gang"
