"""The store of checkpoints, on an S3 server and in a folder: atomic, verified, and retried."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import cloudpickle

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tests.support import object_store, tiny
from tests.support.object_store import SECRET, ObjectStore
from tests.support.waiting import back_once_missed
from tuner.artifacts import store as stores
from tuner.artifacts.checkpoints import FOLDER, StoredCheckpoints
from tuner.artifacts.folder import MANIFEST, NotAsWrittenError, StoredFolder, contents, named
from tuner.artifacts.models import FAILED, LAST_WRITTEN, Models
from tuner.artifacts.retry import StoreUnreachableError
from tuner.artifacts.store import Store, checked, opened, parse
from tuner.execution.rank import RankWorker, scratch
from tuner.execution.trainable import Stored


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store.serving() as server:
        opened.cache_clear()
        yield server
        opened.cache_clear()


@pytest.fixture
def s3(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(stores, "N_TRIES", 1)
    server.reset()
    return server


@pytest.fixture(params=["s3", "folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One of Arrow's file systems, a folder, one of fsspec's."""
    if request.param == "s3":
        server: ObjectStore = request.getfixturevalue("s3")
        return checked(f"{server.url}/runs").within("one")
    if request.param == "memory":
        return checked(f"memory://{tmp_path.name}/runs").within("one")
    return checked(str(tmp_path / "shared")).within("one")


def write(folder: Path, text: str) -> Path:
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "weights.pt").write_text(text * 1000)
    (folder / "teacher.safetensors").write_text(text)
    return folder


def put(store: Store, folder: Path, prefix: str = "trial_00003/evaluation_1") -> StoredFolder:
    files = contents(folder)
    stored = named(store, prefix, files)
    stored.put(folder, files)
    stored.finish(files)
    return stored


def test_a_folder_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "a", "mine")
    stored = put(store, source)
    assert stored.is_there()
    stored.fetch(tmp_path / "b")
    assert contents(tmp_path / "b") == contents(source)
    assert store.folders() == ["trial_00003"]
    store.delete("trial_00003")
    assert not stored.is_there()
    assert store.folders() == []
    store.delete("trial_00003")  # nothing is there any more


def test_what_was_not_finished_is_not_there(store: Store, tmp_path: Path) -> None:
    source = write(tmp_path / "a", "mine")
    files = contents(source)
    stored = named(store, "trial_00003/evaluation_1", files)
    stored.put(source, {"teacher.safetensors": files["teacher.safetensors"]})
    assert not stored.is_there()
    with pytest.raises(FileNotFoundError):
        stored.fetch(tmp_path / "b")
    stored.finish(files)  # as if the file had vanished after
    with pytest.raises(FileNotFoundError):
        stored.fetch(tmp_path / "c")


@pytest.mark.parametrize("name", ["state/weights.pt", "teacher.safetensors", MANIFEST])
def test_what_somebody_else_changed_is_not_used(store: Store, tmp_path: Path, name: str) -> None:
    stored = put(store, write(tmp_path / "a", "mine"))
    store.write(f"{stored.key}/{name}", b'{"files": {}}')
    with pytest.raises(NotAsWrittenError, match=f"{stored.key} is not what was written: "):
        stored.fetch(tmp_path / "b")


def test_an_unreachable_store_is_retried(s3: ObjectStore, tmp_path: Path) -> None:
    store = checked(f"{s3.url}/runs")
    source = write(tmp_path / "a", "mine")
    s3.stop()
    with back_once_missed(s3.start) as told:
        stored = put(store, source)
    stored.fetch(tmp_path / "b")
    assert contents(tmp_path / "b") == contents(source)
    away, is_back = told
    assert away.startswith("cannot use the storage s3://bucket/runs (")
    assert is_back == "the storage s3://bucket/runs can be used again\n"


def test_a_store_that_does_not_come_back(s3: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    store = checked(f"{s3.url}/runs").waiting_quietly(limit_s=0.0)
    s3.stop()
    try:
        with pytest.raises(StoreUnreachableError, match="cannot use the storage s3://bucket/runs: still failing after 0 s"):
            store.write("a", b"b")
        store.delete("a")  # does not wait
    finally:
        s3.start()
    assert capsys.readouterr().err == ""


def test_what_the_store_refuses_is_not_waited_for(s3: ObjectStore) -> None:
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        Store("s3://nobody/runs").write("a", b"b")


def test_a_probe_leaves_nothing(s3: ObjectStore, tmp_path: Path) -> None:
    checked(f"{s3.url}/runs")
    assert s3.objects() == []
    checked(str(tmp_path / "shared"))
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("s3://key:hidden@bucket/x", "give no credentials and no settings in the URL"),
        ("s3://bucket/x?secret_key=hidden", "give no credentials and no settings in the URL"),
        ("s3://key@bucket/x", "give no credentials"),
        ("s3:///x", "names no bucket; give one such as s3://bucket/folder"),
    ],
)
def test_urls_without_credentials(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(given)
    (problem,) = caught.value.problems
    assert problem.startswith("--storage-path s3://") and said in problem
    assert "hidden" not in problem


def test_what_cannot_be_reached_is_a_sentence(s3: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for given in ("s3://nobody/runs", "nonsense://bucket/runs", "http://host/runs", str(file / "below")):
        with pytest.raises(ConfigError) as caught:
            checked(given)
        (problem,) = caught.value.problems
        assert problem.startswith(f"--storage-path {given} cannot be used: ")
        assert SECRET not in problem
    s3.stop()
    try:
        opened.cache_clear()
        with pytest.raises(ConfigError, match=r"cannot be used: .*; check the address, its bucket and, in the environment"):
            checked(f"{s3.url}/runs")
    finally:
        s3.start()


def test_a_store_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stores, "QUIET_S", 0.02)
    is_over = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within"):
        stores._in_time(lambda: is_over.wait(30) or None, "s3://slow/x", 0.05)
    is_over.set()
    assert capsys.readouterr().err == "waiting for s3://slow/x, up to 0.05 s\n"
    with pytest.raises(ZeroDivisionError):
        stores._in_time(lambda: 1 // 0, "s3://broken/x")


class Saved:
    """What a trial hands over: a key, or why there is none."""

    def __init__(self, stored: StoredFolder | None, failed: str | None = None) -> None:
        self.key = stored.key if stored else ""
        self.failed = failed


def saved(store: Store, folder: Path, number: int, index: int, text: str = "") -> Saved:
    source = write(folder / f"{number}-{index}-{text}", f"{number} {index} {text}")
    return Saved(put(store, source, f"{FOLDER.format(number)}/evaluation_{index}"))


def test_the_last_two_of_each_trial_are_kept(store: Store, tmp_path: Path) -> None:
    checkpoints = StoredCheckpoints(tmp_path / "kept", 2, store)
    made = {(n, i): saved(store, tmp_path, n, i) for n, i in ((1, 1), (1, 2), (1, 10), (11, 1))}
    assert checkpoints.last(1) is None, "nobody has told that they are whole"
    for (number, index), one in made.items():
        assert checkpoints.keep(number, index, one) is None
    assert str(checkpoints.last(1)) == made[1, 10].key
    assert len(store.folders("trial_00001")) == 2
    store.delete(made[1, 10].key)
    assert str(checkpoints.last(1)) == made[1, 2].key, "the one before serves"
    checkpoints.drop(1)
    assert checkpoints.last(1) is None
    assert store.folders() == ["trial_00011"]
    assert str(checkpoints.last(11)) == made[11, 1].key
    assert StoredCheckpoints(tmp_path / "kept", 1, store).last(11) is None, "a gang of another size does not take it"


def test_work_that_is_done_again_takes_its_own_place(store: Store, tmp_path: Path) -> None:
    checkpoints = StoredCheckpoints(tmp_path / "kept", 2, store)
    first, second = (saved(store, tmp_path, 1, 1, text) for text in ("a", "b"))
    checkpoints.keep(1, 1, first)
    checkpoints.keep(1, 1, second)
    assert str(checkpoints.last(1)) == second.key
    assert store.folders("trial_00001") == [second.key.split("/")[1]]


def test_checkpoints_of_no_unfinished_trial_are_deleted(store: Store, tmp_path: Path) -> None:
    checkpoints = StoredCheckpoints(tmp_path / "kept", 2, store)
    kept = saved(store, tmp_path, 1, 1)
    checkpoints.keep(1, 1, kept)
    saved(store, tmp_path, 1, 2)  # whose driver was killed before it knew
    checkpoints.keep(2, 1, saved(store, tmp_path, 2, 1))
    checkpoints.drop_others({1})
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["trial_1_evaluation_1_ranks_2"]
    assert (store.folders(), store.folders("trial_00001")) == (["trial_00001"], [kept.key.split("/")[1]])
    assert checkpoints.keep(1, 2, Saved(None, "OSError: No space left on device")) == "OSError: No space left on device"
    assert str(checkpoints.last(1)) == kept.key
    checkpoints.drop_others(())
    assert store.folders() == []


@pytest.mark.slow
def test_a_rank_goes_on_from_the_store_as_if_nothing_had_happened(s3: ObjectStore, tmp_path: Path, tiny_backbone: Path) -> None:
    """What a gang does on each node: write to its disk, bring it to the store, fetch and load it, and leave nothing behind."""
    config, data = tiny.config(tiny_backbone).to_dict(), tiny.data()
    store = checked(f"{s3.url}/runs")
    rank = RankWorker(0, 1, 1)
    rank.begin(config, data)
    rank.advance()
    rank.save("smart-tuner-test")
    files = rank.files_here("smart-tuner-test")
    stored = named(store, "trial_00000/evaluation_1", files)
    rank.put("smart-tuner-test", stored, files)
    stored.finish(files)
    rank.discard("smart-tuner-test")
    assert not scratch("smart-tuner-test").exists()
    undisturbed = rank.advance()
    rank.begin(config, data)
    rank.fetch("smart-tuner-test", stored)
    rank.load("smart-tuner-test")
    again = rank.advance()
    rank.discard("smart-tuner-test")
    rank.end()
    assert isinstance(undisturbed, Evaluation) and isinstance(again, Evaluation)
    assert (again.index, again.metrics, again.losses) == (2, undisturbed.metrics, undisturbed.losses)


def test_what_tune_has_of_a_checkpoint_travels_and_is_fetched(store: Store, tmp_path: Path) -> None:
    stored = put(store, write(tmp_path / "a", "mine"))
    travelled: Stored = cloudpickle.loads(cloudpickle.dumps(Stored(stored)))
    assert (travelled.key, travelled.failed) == (stored.key, None)
    travelled.to_directory(tmp_path / "b")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    Stored(None, "the disk is full").to_directory(tmp_path / "c")
    assert (tmp_path / "c" / FAILED).read_text() == "the disk is full"


def test_a_model_that_was_changed_in_the_store_is_not_kept(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "mine")
    (folder / LAST_WRITTEN).write_text("config")
    whole, changed = (put(store, folder, f"trial_0000{number}/evaluation_5") for number in (1, 2))
    store.write(f"{changed.key}/teacher.safetensors", b"other")
    models = Models(tmp_path / "models")
    assert models.keep(1, Stored(whole)) is None
    reason = models.keep(2, Stored(changed))
    assert reason is not None and "the trained model cannot be kept: " in reason and "is not what was written" in reason
    assert (models.has(1), models.has(2)) == (True, False)
