"""The page of a run: complete for every kind of run, safe against hostile text, and available while the run continues."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from cluster.shape import GangShape
from tests.support import report_runs, samples
from tests.support.cases import slow_but
from tests.support.report_shapes import HOSTILE, SHAPES, made, run_of
from tests.support.stored_study import opened, play
from tuner.commands import report
from tuner.commands.run_command import DONE, WRONG_USAGE
from tuner.config import command_lines as commands
from tuner.config import run_folder
from tuner.config.options import Options, parse_arguments, save
from tuner.report import charts
from tuner.report.charts import CHARTS
from tuner.report.gather import gather
from tuner.report.html import element, markup, plain
from tuner.report.page import page, write
from tuner.results import results_json as results
from tuner.tracking import timeline

SECTIONS = [name for name in CHARTS if name != "confirmation"]
"""Of every shape of a run."""


class Outline(HTMLParser):
    """A parsed page: elements with their attributes, the text outside scripts and styles, and the figures' and other data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        is_data = dict(attrs).get("type") == "application/json"
        self._inside = "data" if is_data else tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.data if self._inside == "data" else self.scripts if self._inside else self.words).append(data)

    @property
    def ids(self) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get("id")) is not None]


@cache
def text_of(shape: str) -> str:
    return page(made(shape))


@cache
def outline(shape: str) -> Outline:
    return Outline(text_of(shape))


def test_every_chart_is_registered_once() -> None:
    files = {path.stem for path in Path(charts.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(CHARTS) == files


QUICK = slow_but(SHAPES, *(shape for shape in SHAPES if shape != "many"))


@pytest.mark.parametrize("shape", QUICK)
def test_every_shape_has_every_section(shape: str) -> None:
    found = outline(shape)
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert len(found.ids) == len(set(found.ids))
    labelled = {attributes.get("aria-labelledby") for tag, attributes in found.elements if tag == "section"}
    assert labelled <= set(found.ids)


@pytest.mark.parametrize("shape", QUICK)
def test_every_image_has_a_name_and_every_region_is_reached_by_the_keyboard(shape: str) -> None:
    for tag, attributes in outline(shape).elements:
        if attributes.get("role") == "img":
            assert attributes["aria-label"]
        if attributes.get("role") == "region":
            assert (attributes["tabindex"], bool(attributes["aria-label"])) == ("0", True)
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


@pytest.mark.parametrize("shape", QUICK)
def test_nothing_is_loaded_and_only_its_own_script_runs(shape: str) -> None:
    text, found = text_of(shape), outline(shape)
    policies = [str(own["content"]) for _, own in found.elements if own.get("http-equiv") == "Content-Security-Policy"]
    (policy,) = policies
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:|\*|unsafe", policy.replace("style-src 'unsafe-inline'", ""))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    quoted = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert f"script-src {quoted};" in policy
    assert "Licensed under the MIT license" in scripts[0]
    names = {name for _, own in found.elements for name in own}
    assert not {name for name in names if name.startswith("on") or name in ("src", "style", "srcdoc", "action", "xlink:href")}
    assert [own for tag, own in found.elements if tag == "script" and own.get("type") != "application/json"] == [{}, {}]


def test_from_the_cdn_the_page_is_small_and_loads_that_one_script() -> None:
    text = page(made("one"), plotly="cdn")
    (source,) = (own for tag, own in Outline(text).elements if tag == "script" and "src" in own)
    assert re.fullmatch(r"https://cdn\.plot\.ly/plotly-[\d.]+\.min\.js", source["src"] or "")
    digest = base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()
    assert (source["integrity"], source["crossorigin"]) == (f"sha256-{digest}", "anonymous")
    assert f"script-src {source['src']} 'sha256-" in text
    assert len(text.encode()) < 300_000


def test_hostile_text_stays_text() -> None:
    clean, found = outline("several"), outline("hostile")
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in clean.elements} | {"li"}
    assert {name for _, own in found.elements for name in own} <= {name for _, own in clean.elements for name in own}
    assert "alert(1)" not in "".join(found.scripts)
    hostile = [data for data in found.data if "alert(1)" in data]
    assert len(hostile) >= 3
    assert not re.search("[<>\u202a-\u202e]", "".join(hostile))
    assert all(json.loads(data) for data in found.data)
    words = "".join(found.words)
    assert words.count(HOSTILE.replace("\u202e", "\ufffd")) >= 8, "it is shown, as what it is"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", words)
    for _, own in found.elements:
        assert not (own.get("href") or "").lower().startswith(("javascript:", "data:"))


def test_elements_escape_text_attributes_and_invisible_characters() -> None:
    found = markup(element("p", "<b>&", element("i", "</i>"), "\u202eevil", title='"><script>'))
    assert found == '<p title="&quot;&gt;<script&gt;">&lt;b&gt;&amp;<i>&lt;/i&gt;</i>\ufffdevil</p>'
    assert plain("a\nb\x00\x1b[31m\u2066é 漢") == "a\nb\ufffd\ufffd[31m\ufffdé 漢"
    assert markup(element("p", "\ud800")).encode() == "<p>\ufffd</p>".encode()


def test_missing_data_is_explained() -> None:
    words = " ".join(outline("empty").words)
    for sentence in (
        "There is no champion",
        "No trial has been evaluated",
        "There are no trials yet",
        "No times were recorded",
    ):
        assert sentence in words
    several = " ".join(outline("several").words)
    assert "Nothing is known of any task alone" in several
    assert "alone: unknown" not in several, "no table that knows nothing"
    assert "began 2026-01-01 00:00 UTC" in several
    assert "cfimdb/accuracy alone is not known" in " ".join(outline("controls").words)


def test_requirements_that_no_trial_meets_are_a_warning() -> None:
    words = " ".join(outline("requirements").words)
    assert "No trial meets the requirements" in words
    assert "quora/accuracy>=0.99 by" in words


def test_the_confirmation_is_shown_where_there_is_one() -> None:
    assert "confirmation" not in outline("several").ids
    found = outline("confirmed")
    words = " ".join(found.words)
    assert "confirmation" in found.ids
    assert "+0.0120" in words
    assert "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT beyond chance on dev" in words
    assert "has not been trained again" not in words
    assert "Trained on 3 fresh seeds its mean is 0.7525 ± 0.0040 (s.d.) on select, and above 0.7445" in words


def test_an_untuned_default_that_wins_is_no_trial() -> None:
    run = made("default won")
    assert (run.champion is not None, run.champion_number) == (True, None)
    words = " ".join(outline("default won").words)
    assert "the untuned default" in words
    assert "THE SEARCH DOES NOT BEAT THE UNTUNED DEFAULT, which is the champion" in words


def test_paused_trials_are_counted_with_their_time() -> None:
    run = made("paused")
    n = sum(trial["state"] == "PAUSED" for trial in run.trials)
    assert n > 2
    words = outline("paused").words
    assert f", {n} paused)" in " ".join(words)
    assert "PAUSED" in words, "a row of the cost"


def test_five_hundred_trials_stay_a_small_file() -> None:
    assert len(text_of("many").encode()) - len(get_plotlyjs().encode()) < 2_500_000


def test_figures_show_every_trials_settings() -> None:
    found = outline("several")
    texts = next(data for data in map(json.loads, found.data) if "0" in data)
    for trial in made("several").trials:
        assert f"trial {trial['number']}" in texts[str(trial["number"])]
        assert all(name in texts[str(trial["number"])] for name in trial["params"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that has begun."""
    path = tmp_path / "runs" / "study"
    path.mkdir(parents=True)
    save(Options(storage=f"journal:{path / 'journal'}", settings=("optim.lr=0.1",), trials=9, seed=3), path)
    run_folder.write_state(path, run_folder.State("2026-01-02T03:04:05+00:00", n_trials=9))
    return path


def began(folder: Path) -> None:
    recorder = timeline.Timeline(folder, GangShape(), {"seed": 3, "rows": report_runs.ROWS, "optuna": OPTUNA})
    recorder.search_started(samples.facts(folder, n_trials=9))


OPTUNA = {"storage": "journal:journal", "study_name": "study"}


def test_a_running_search_is_read_from_its_study(folder: Path, tmp_path: Path) -> None:
    study = opened(tmp_path, f"journal:{folder / 'journal'}")
    began(folder)
    play(study, 0.5)
    play(study, 0.7)
    asked = study.ask()
    assert asked is not None
    study.report(asked.number, samples.evaluation(1, 0.6, pearson=0.6))
    with run_folder.opened(folder, Options(storage=f"journal:{folder / 'journal'}")):
        found = gather(folder)
        text = page(found)
    assert (found.stage, found.champion_number) == ("searching", 1)
    assert [trial["state"] for trial in found.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    words = " ".join(Outline(text).words)
    assert "UNFINISHED: the search is running" in words
    assert "3 (2 complete, 1 running), within the compute of 9 full trials" in words
    assert "mean(sst/accuracy, sts/pearson)" in words, "what was known when it began"


def test_a_run_that_was_killed_before_its_first_trial(folder: Path, tmp_path: Path) -> None:
    opened(tmp_path, f"journal:{folder / 'journal'}")
    found = gather(folder)
    assert (found.stage, found.trials, found.champion) == ("interrupted", [], None)
    assert "UNFINISHED: the search was interrupted" in page(found)


def test_results_that_are_older_than_the_study_are_not_used(folder: Path, tmp_path: Path) -> None:
    study = opened(tmp_path, f"journal:{folder / 'journal'}")
    play(study, 0.5)
    written = samples.results(samples.facts(folder), study.records(), study.best)
    results.write(folder / results.FILE_NAME, written)
    assert gather(folder).stage == "finished"
    play(study, 0.7)
    found = gather(folder)
    assert (found.stage, found.champion_number) == ("interrupted", 1)


def test_results_alone_make_a_page(tmp_path: Path) -> None:
    records = report_runs.records(6)
    results.write(tmp_path / results.FILE_NAME, report_runs.results(records, tmp_path))
    assert write(tmp_path) == tmp_path / "report.html"
    assert "Importance is unknown" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    study = opened(tmp_path, f"journal:{folder / 'journal'}")
    play(study, 0.5)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert report.main(["study", "--runs-dir", "../runs"]) == DONE
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert report.main([str(folder), "--to", "mine.html", "--plotly", "cdn"]) == DONE
    assert (elsewhere / "mine.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "python -m tuner.search --set optim.lr=0.1 --seed 3 --trials 9" in (elsewhere / "mine.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["day", "--runs-dir", "{runs}"], "there is no run day"),
        ([], "give either a run"),
        (["study", "--paper", "study"], "give either a run"),
        (["--paper", "study", "--to", "x.html"], "--to x.html is for a run's page"),
        (["--paper", "study", "--plotly", "cdn"], "--plotly cdn is for a run's page"),
        (["study", "--format", "json"], "--format json is for --paper"),
        (["study", "--runs-dir", "{runs}", "--to", "{runs}"], "is a folder; give a file"),
        (["study", "--runs-dir", "{runs}", "--to", "{runs}/no/such/x.html"], "cannot write"),
    ],
)
def test_wrong_usage_is_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    play(opened(tmp_path, f"journal:{folder / 'journal'}"), 0.5)
    filled = [argument.replace("{runs}", str(folder.parent)) for argument in arguments]
    assert report.main(filled) == WRONG_USAGE
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_report_that_fails_does_not_fail_the_search(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    from tuner.search import launch

    def fail(*_: Any, **__: Any) -> Path:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("tuner.report.page.write", fail)
    launch._report(type("Planned", (), {"run_dir": tmp_path / "runs" / "night", "options": None}))  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert "cannot write the report (ZeroDivisionError: no such luck); the results are complete" in told
    assert f"-m tuner report night --runs-dir {tmp_path / 'runs'}" in told


def test_a_trial_whose_configuration_was_refused_has_its_row() -> None:
    records = report_runs.records(3)
    refused = replace(records[0], number=3, state="FAIL", score=None, config={"smart": {"enabled": True}}, evaluations=[])
    refused = replace(refused, metrics={}, reason="the configuration is refused: smart.epsilon is too small", scores={})
    text = page(run_of([*records, refused]))
    assert "the configuration is refused" in text


def test_the_command_that_repeats_a_search_has_the_given_options_and_no_secret() -> None:
    given = Options(
        space="paper_table2",
        settings=("optim.lr=0.1", "mode=finetune"),
        require=("quora/accuracy>=0.8",),
        skip_bad_rows=True,
        seed=0,
        register=False,
        storage="postgresql://ann:secret@host/db",
        name="night",
        quiet=True,
    )
    assert commands.search(given) == (
        "python -m tuner.search --space paper_table2 --set optim.lr=0.1 --set mode=finetune "
        "--require 'quora/accuracy>=0.8' --skip-bad-rows --storage 'postgresql://ann:***@host/db' "
        "--no-register"
    )
    assert parse_arguments(shlex.split(commands.search(given))[3:]).settings == given.settings
    assert commands.search(Options()) == "python -m tuner.search"


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("https://ann:secret@host/ml/", "https://ann:***@host/ml/#/experiments/3/runs/f00"),
        ("sqlite:////run/mlflow.db", "http://127.0.0.1:5000/#/experiments/3/runs/f00"),
        ("javascript:alert(1)//", "http://127.0.0.1:5000/#/experiments/3/runs/f00"),
    ],
)
def test_a_runs_address(uri: str, page: str) -> None:
    assert commands.mlflow_run(uri, "3", "f00") == page
