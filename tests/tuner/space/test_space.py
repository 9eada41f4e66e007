"""What a space suggests: only active parameters, legal configurations, one Optuna name per thing that is drawn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from model.config import ConfigError, TrialConfig, field_names, parse
from tuner.space import Space, available, load, void_notes
from tuner.space.conditions import resolve
from tuner.space.distributions import draw, points
from tuner.space.document import Document
from tuner.space.parameters import Choice

CONDITIONAL = """\
name: conditional
search:
  mixing.ratios: {simplex: [-2.0, 2.0], when: {mixing.strategy: ratios}}
  smart.eta: {float: [1.0e-5, 1.0e-1], log: true, when: {smart.steps: [1, 2], pair_encoding: [cross, cosine]}}
  smart.steps: {int: [0, 2], when: {smart.enabled: true}}
  smart.enabled: {choice: [true, false]}
  mixture: {choice: [[sst], [sst, quora], [sst, quora, sts]]}
  mixing.strategy: {choice: [uniform, ratios, temperature]}
  mixing.temperature: {float: [1.0, 4.0], step: 0.5, when: {mixing.strategy: temperature}}
  pair_encoding: {choice: [cosine, cross, concat_pooled]}
start:
  - {smart.enabled: true, smart.steps: 0}
  - {mixture: [sst, quora], mixing.strategy: ratios, mixing.ratios: {sst: 0.75, quora: 0.25}}
  - {mixture: [sst], mixing.strategy: temperature, mixing.temperature: 2.5}
profiles:
  smart_off: {fixed: {smart.enabled: false}, start: []}
  smart_on: {fixed: {smart: {enabled: true}}, search: {mixture: null, smart.steps: {int: [1, 2]}}, start: []}
"""

DISCRETE = """\
name: discrete
search:
  mixture: {choice: [[sst, quora, sts], [sst, quora]]}
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 2], when: {smart.enabled: true}}
  smart.eta: {float: [0.1, 0.3], step: 0.1, when: {smart.steps: [1, 2]}}
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spaces")


def space_of(folder: Path, text: str, profile: str | None = None) -> Space:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, profile)


@pytest.fixture(scope="session")
def conditional(folder: Path) -> Space:
    return space_of(folder, CONDITIONAL)


@pytest.fixture(scope="session")
def discrete(folder: Path) -> Space:
    return space_of(folder, DISCRETE)


def ask(space: Space, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Optuna's parameters and the nested values of one random trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    values = space.suggest(trial)
    return trial.params, values


@pytest.mark.parametrize("name", available())
def test_every_space_of_the_project_gives_legal_configurations_under_every_profile(name: str) -> None:
    for profile in (None, *load(name).profiles):
        space = load(name, profile)
        for seed in range(50):
            parse(space.sample(random.Random(seed)))
        if space.options.get("sampler") == "grid":
            assert space.n_grid == space.options["trials"], "a grid is run whole"
        else:
            assert space.start, "a search begins with something known"


@given(seed=st.integers(0, 2**31 - 1))
def test_only_active_parameters_are_drawn(conditional: Space, seed: int) -> None:
    params, values = ask(conditional, seed)
    config = parse(values)
    assert ("smart.steps" in params) == config.smart.enabled
    assert ("smart.eta" in params) == (
        config.smart.enabled and config.smart.steps > 0 and config.pair_encoding in ("cross", "cosine")
    )
    assert ("mixing.temperature" in params) == (config.mixing.strategy == "temperature")
    logits = {name for name in params if name.startswith("mixing.ratios")}
    searched = config.mixing.strategy == "ratios" and len(config.mixture) > 1
    assert logits == ({f"mixing.ratios[{task}]" for task in config.mixture} if searched else set())


@given(seed=st.integers(0, 2**31 - 1))
def test_ratios_are_a_distribution_over_the_mixture_and_nothing_else(conditional: Space, seed: int) -> None:
    _, values = ask(conditional, seed)
    config = parse(values)
    if config.mixing.strategy != "ratios":
        return
    assert set(config.mixing.ratios) == set(config.mixture)
    assert sum(config.mixing.ratios.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(share > 0 for share in config.mixing.ratios.values())


def test_parents_come_before_children_and_otherwise_the_order_of_the_file_stays(conditional: Space) -> None:
    names = [parameter.name for parameter in conditional.parameters]
    assert names == [
        "smart.enabled", "smart.steps", "mixture", "mixing.strategy", "mixing.ratios", "mixing.temperature",
        "pair_encoding", "smart.eta",
    ]  # fmt: skip


def test_lists_are_stored_in_optuna_under_a_readable_name(conditional: Space) -> None:
    params, values = ask(conditional, 1)
    assert params["mixture"] == "+".join(values["mixture"])


def test_starts_are_in_optunas_terms_and_come_back_as_they_were_written(conditional: Space) -> None:
    assert conditional.start[0] == {"smart.enabled": True, "smart.steps": 0}
    assert conditional.start[2] == {"mixture": "sst", "mixing.strategy": "temperature", "mixing.temperature": 2.5}
    config = conditional.config({**conditional.start[1], "smart.enabled": False, "pair_encoding": "cross"})
    assert config.mixing.ratios == pytest.approx({"sst": 0.75, "quora": 0.25})


def test_a_profile_that_settles_a_condition_drops_the_condition_or_its_parameter(folder: Path) -> None:
    off = [parameter.name for parameter in space_of(folder, CONDITIONAL, "smart_off").parameters]
    assert not any(name.startswith("smart.") for name in off)
    on = {parameter.name: parameter for parameter in space_of(folder, CONDITIONAL, "smart_on").parameters}
    assert on["smart.steps"].when == {}
    assert "mixture" not in on
    assert space_of(folder, CONDITIONAL, "smart_on").sample(random.Random(0))["smart"]["enabled"] is True


def test_the_grid_has_every_active_assignment_once(discrete: Space) -> None:
    points = list(discrete.grid_points())
    # two mixtures; SMART off, K = 0, or K in {1, 2} with η in {0.1, 0.2, 0.3}
    assert len(points) == discrete.n_grid == 2 * (1 + 1 + 2 * 3)
    assert len({frozenset(point.items()) for point in points}) == len(points)
    assert len({discrete.config(point).model_dump_json() for point in points}) == len(points)


def test_what_has_no_grid_is_told_all_at_once(conditional: Space, discrete: Space) -> None:
    with pytest.raises(ConfigError) as caught:
        conditional.grid_points()
    assert [problem.split()[0] for problem in caught.value.problems] == ["mixing.ratios", "smart.eta"]
    with pytest.raises(ConfigError, match="more than 15 points"):
        discrete.grid_points(15)
    with pytest.raises(ConfigError, match=r"smart\.steps has 3 values; a grid has at most 2 points"):
        discrete.grid_points(2)


def test_restrict_keeps_the_mixtures_that_can_be_trained_and_scored(conditional: Space) -> None:
    space, dropped = conditional.restrict(tasks=["sst", "quora"], required=["quora"])
    assert {tuple(space.sample(random.Random(seed))["mixture"]) for seed in range(20)} == {("sst", "quora")}
    assert dropped == [
        "mixture sst is left out: it lacks quora, which the metric or a requirement needs",
        "mixture sst+quora+sts is left out: there are no data for sts",
        "1 start configuration(s) are left out with their mixtures",
    ]
    with pytest.raises(ConfigError, match=r"no mixture of the space conditional can be used; mixture sst is left out"):
        conditional.restrict(tasks=["cfimdb"], required=["sst"])


def test_restrict_drops_what_depends_on_a_mixture_that_is_gone(folder: Path) -> None:
    text = DISCRETE.replace(
        "smart.enabled: {choice: [true, false]}", "smart.enabled: {choice: [true, false], when: {mixture: [[sst, quora]]}}"
    )
    space, _ = space_of(folder, text).restrict(tasks=["sst", "quora", "sts"], required=["sts"])
    assert [parameter.name for parameter in space.parameters] == ["mixture"]


def test_restrict_judges_a_fixed_mixture_too(folder: Path) -> None:
    space = space_of(folder, "name: x\nfixed: {mixture: [sst]}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}\n")
    assert space.targets == ("sst",)
    assert space.restrict(tasks=["sst"], required=["sst"]) == (space, [])
    with pytest.raises(ConfigError, match="it lacks quora"):
        space.restrict(tasks=["sst"], required=["quora"])


def test_fix_sets_settings_and_names_every_problem(conditional: Space) -> None:
    space = conditional.fix({"backbone": "bert-base-uncased", "optim.lr": 1e-5})
    assert parse(space.sample(random.Random(0))).optim.lr == 1e-5
    with pytest.raises(ConfigError) as caught:
        conditional.fix({"backbon": "x", "optim.lr": -1.0})
    unknown, refused = caught.value.problems
    assert "did you mean backbone?" in unknown
    assert refused.startswith("optim.lr: input should be greater than 0")


def test_fix_takes_a_searched_setting_out_with_all_that_hangs_on_it() -> None:
    laptop = load("smart_mtl", "laptop")
    searched = {parameter.name for parameter in laptop.parameters}
    plain = laptop.fix({"smart.enabled": False})
    assert searched - {parameter.name for parameter in plain.parameters} == {
        name for name in searched if name.startswith("smart.")
    }
    assert len(laptop.start) == 2
    assert len(plain.start) == 1, "the two start configurations differ in SMART alone"
    smart = laptop.fix({"smart.enabled": True})
    rng = random.Random(0)
    assert all("epsilon" in smart.sample(rng)["smart"] for _ in range(20))


def test_fix_tries_the_rules_between_settings() -> None:
    laptop = load("smart_mtl", "laptop")
    with pytest.raises(ConfigError, match="rounds away in bf16: the smallest usable is 0"):
        laptop.fix({"engine.precision": "bf16"})
    with pytest.raises(ConfigError, match=r"set exactly one of budget\.epochs and budget\.examples"):
        laptop.fix({"budget.epochs": 1.0})
    longer = laptop.fix({"budget.epochs": 1.0, "budget.examples": None})
    assert parse(longer.sample(random.Random(0))).budget.epochs == 1.0


def test_ranges_are_drawn_from_end_to_end(folder: Path) -> None:
    text = "name: x\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-4], log: true}\n  optim.batch_size: {int: [8, 16], step: 4}\n"
    space = space_of(folder, text)
    drawn = [ask(space, seed)[0] for seed in range(200)]
    assert {params["optim.batch_size"] for params in drawn} == {8, 12, 16}
    assert all(1e-5 <= params["optim.lr"] <= 1e-4 for params in drawn)
    n_low = sum(params["optim.lr"] < 1e-5 * 10**0.5 for params in drawn)
    assert 70 < n_low < 130  # half of them: uniform in the logarithm


def test_a_space_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "space (1).yaml"
    path.write_text("search:\n  optim.lr: {float: [1.0e-5, 1.0e-4]}\n", encoding="utf-8")
    assert load(path).name == "space-1"


HUGE = {
    "optim.warmup: {float: [0.0, 0.2], step: 1.0e-9}": 200_000_001,
    "optim.weight_decay: {float: [0.0, 1.0], step: 1.0e-15}": 10**15 + 1,
    "budget.examples: {int: [1000, 1000000000000]}": 10**12 - 999,
    "budget.examples: {int: [1000, 1000000000000000000000000], step: 1000}": 10**21,
}


@pytest.mark.parametrize(("entry", "count"), HUGE.items(), ids=HUGE)
def test_a_range_of_very_many_points_is_drawn_from_without_listing_them(folder: Path, entry: str, count: int) -> None:
    name = entry.partition(":")[0]
    budget = "{budget.epochs: null}" if name == "budget.examples" else "{budget.epochs: 1}"
    space = space_of(folder, f"name: x\nfixed: {budget}\nsearch:\n  {entry}\n  smart.beta: {{float: [0.5, 0.9]}}\n")
    rng = random.Random(0)
    assert len({space.draw(rng)[name] for _ in range(20)}) == 20
    assert "smart.beta" not in [note.partition(" ")[0] for note in void_notes(space)]
    with pytest.raises(ConfigError, match=rf"{name} has {count} values"):
        space.fix({"smart.beta": 0.5}).grid_points()


@pytest.mark.parametrize("distribution", [
    CategoricalDistribution(["a", "b", "c"]), IntDistribution(3, 17, step=7), IntDistribution(1, 64, log=True),
    FloatDistribution(0.1, 0.7, step=0.2), FloatDistribution(-1.0, 1.0, step=0.1),
])  # fmt: skip
def test_a_draw_is_that_from_the_list_of_all_points(distribution: BaseDistribution) -> None:
    listed = list(points(distribution))
    assert [draw(distribution, random.Random(seed)) for seed in range(50)] == [
        random.Random(seed).choice(listed) for seed in range(50)
    ]


def test_conditions_of_many_ancestors_are_combined() -> None:
    """Each choice depends on the two before it: the number of paths to the first one is a Fibonacci number."""
    names = list(field_names())
    parents = {name: names[max(index - 2, 0) : index] for index, name in enumerate(names)}
    ladder = {
        name: Choice(choice=(1, 2)).model_copy(update={"when": dict.fromkeys(parents[name], (1,))}).named(name)
        for name in names
    }
    document = Document("ladder")
    assert [one.name for one in resolve(ladder, dict.fromkeys(names, ()), names, {}, (), document)] == names
    assert len(names) > 40 and not document.problems


def test_to_dict_tells_spaces_apart_and_is_json(conditional: Space, discrete: Space, folder: Path) -> None:
    assert conditional.to_dict() == space_of(folder, CONDITIONAL).to_dict()
    assert conditional.to_dict() != discrete.to_dict()
    assert discrete.to_dict()["search"]["smart.steps"] == {
        "int": [0, 2],
        "log": False,
        "step": 1,
        "when": {"smart.enabled": [True]},
    }


def test_the_published_defaults_are_a_start_of_smart_mtl() -> None:
    space = load("smart_mtl")
    published = {f"smart.{name}": getattr(TrialConfig().smart, field) for name, field in (
        ("enabled", "enabled"), ("epsilon", "epsilon"), ("sigma", "sigma"), ("eta", "eta"), ("steps", "steps"),
        ("lambda", "lambda_"), ("mu", "mu"),
    )}  # fmt: skip
    off, smart = space.start
    assert off["smart.enabled"] is False
    assert published.items() <= smart.items()
