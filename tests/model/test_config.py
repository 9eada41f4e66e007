"""The schema: valid and invalid values, error messages, and round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.config import ConfigError, field_names, load, nearest, parse
from model.smart.config import cost_in_plain_steps

TASKS = ("sst", "quora", "sts", "cfimdb")


def problems(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(values)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def positive(largest: float = 1e6) -> st.SearchStrategy[float]:
    return st.floats(min_value=1e-12, max_value=largest)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Nested mappings of valid settings; sections may be missing or partial."""
    mixture = draw(st.lists(st.sampled_from(TASKS), min_size=1, unique=True))
    share = st.floats(min_value=0, max_value=1)
    sections = {
        "smart": st.fixed_dictionaries(
            {},
            optional={
                "enabled": st.booleans(),
                "epsilon": st.floats(min_value=0.01, max_value=1),
                "steps": st.integers(0, 10),
                "lambda": st.floats(min_value=0, max_value=100),
                "beta": share,
                "dropout_masks": st.sampled_from(["shared", "independent"]),
            },
        ),
        "optim": st.fixed_dictionaries(
            {},
            optional={
                "lr": positive(),
                "warmup": share,
                "decay": st.sampled_from(["linear", "cosine", "constant"]),
                "batch_size": st.integers(1, 65536),
                "dropout": st.floats(min_value=0, max_value=1, exclude_max=True),
            },
        ),
        "budget": st.one_of(
            st.fixed_dictionaries({"epochs": positive()}, optional={"early_eval_examples": st.integers(1, 9)}),
            st.fixed_dictionaries({"examples": st.integers(1)}, optional={"evaluations": st.integers(1, 1000)}),
        ),
        "engine": st.fixed_dictionaries(
            {}, optional={"precision": st.sampled_from(["fp32", "bf16"]), "zero_stage": st.integers(0, 2)}
        ),
        "mixing": st.sampled_from(
            [
                {"strategy": "annealed", "annealed_end": 0.5},
                {"strategy": "ratios", "ratios": {task: 1 / len(mixture) for task in mixture}},
                {"loss_weights": "explicit", "weights": dict.fromkeys(mixture, 2.0)},
            ]
        ),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=sections))
    smart = {"epsilon": 0.5, **chosen.pop("smart", {})}  # usable in either precision
    return {**chosen, "smart": smart, "mixture": mixture, "seed": draw(st.integers(0, 2**31 - 1))}


@settings(max_examples=50)
@given(configs())
def test_what_is_given_is_kept_and_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    """As Python values, JSON (checkpoints, MLflow) and YAML (saved models), bit for bit."""
    config = parse(values)
    written = config.to_dict()
    for section, part in values.items():
        assert (written[section] if not isinstance(part, dict) else {name: written[section][name] for name in part}) == part
    assert parse(written) == config
    assert parse(json.loads(json.dumps(written))) == config
    assert parse(yaml.safe_load(yaml.safe_dump(written))) == config


def test_nothing_given_is_the_published_trial() -> None:
    config = parse({})
    assert (config.smart.epsilon, config.smart.sigma, config.smart.eta, config.smart.steps) == (1e-5, 1e-5, 1e-3, 1)
    assert (config.smart.lambda_, config.smart.mu, config.smart.beta, config.smart.beta_late) == (1.0, 1.0, 0.99, 0.999)
    assert config.mixture == ("sst", "quora", "sts")


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse({}).seed = 1  # type: ignore[misc]


class TestNumbers:
    @pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.0e-5", "0.00001"])
    def test_a_rate_is_read_however_yaml_reads_it(self, tmp_path: Path, text: str) -> None:
        """YAML 1.1 reads `1e-5` as text and `1.0e-5` as a number; both must work."""
        path = tmp_path / "trial.yaml"
        path.write_text(f"optim: {{lr: {text}}}\n")
        assert load(path).optim.lr == 1e-5

    def test_text_that_is_not_a_number(self) -> None:
        (problem,) = problems({"optim": {"lr": "fast"}})
        assert problem.startswith("optim.lr: ") and problem.endswith("given 'fast'")

    @pytest.mark.parametrize(
        "values", [{"optim": {"lr": True}}, {"optim": {"batch_size": True}}, {"seed": False}, {"backbone": False}]
    )
    def test_a_boolean_is_not_a_number(self, values: dict[str, Any]) -> None:
        (problem,) = problems(values)
        assert "is not a boolean, given" in problem

    def test_yaml_reads_on_as_a_boolean(self, tmp_path: Path) -> None:
        (tmp_path / "trial.yaml").write_text("smart: {lambda: on}\n")
        with pytest.raises(ConfigError, match="lambda is not a boolean, given True"):
            load(tmp_path / "trial.yaml")

    def test_a_boolean_setting_takes_a_boolean(self) -> None:
        assert parse({"smart": {"enabled": False}}).smart.enabled is False

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
    @pytest.mark.parametrize("name", ["optim.lr", "smart.epsilon", "smart.eta", "budget.epochs"])
    def test_what_is_positive_is_finite_too(self, name: str, value: float) -> None:
        section, field = name.split(".")
        (problem,) = problems({section: {field: value}})
        assert problem.startswith(f"{name}: input should be ")
        assert problem.endswith(f"given {value!r}")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
    @pytest.mark.parametrize("name", ["smart.beta", "optim.warmup", "optim.dropout", "mixing.annealed_end"])
    def test_what_is_a_share_is_in_0_to_1(self, name: str, value: float) -> None:
        section, field = name.split(".")
        assert problems({section: {field: value}})[0].startswith(f"{name}: input should be ")


class TestSentences:
    @pytest.mark.parametrize(
        ("values", "facts"),
        [
            ({"lr": 1e-5}, ["lr (did you mean optim.lr?)"]),
            ({"optim": {"lrr": 1}}, ["optim.lrr (did you mean optim.lr?)"]),
            ({"smart": {"lamda": 1}}, ["smart.lamda (did you mean smart.lambda?)"]),
            ({"smart": {"lr": 1}}, ["smart.lr (did you mean optim.lr?)"]),
            ({"zzz": 1}, ["zzz"]),
            ({"optim": 3}, ["optim:", "mapping", "given 3"]),
            ({"mixture": "sst"}, ["mixture:", "[sst, sts]", "given 'sst'"]),
            ({"mixture": []}, ["mixture:", "given []"]),
            ({"mixture": ["sst", "stt"]}, ["mixture", "stt", "sst, quora, sts, cfimdb"]),
            ({"mixture": ["sst", "sst"]}, ["mixture", "twice", "sst, sst"]),
            ({"mode": "freeze"}, ["mode:", "'finetune' or 'pretrain'", "given 'freeze'"]),
            ({"mixing": {"ratios": [1]}}, ["mixing.ratios:", "mapping", "given [1]"]),
            ({"budget": {}}, ["budget.epochs", "budget.examples"]),
            ({"budget": {"epochs": 1, "examples": 1}}, ["budget.epochs", "budget.examples"]),
        ],
    )
    def test_name_the_setting_the_rule_and_what_was_given(self, values: dict[str, Any], facts: list[str]) -> None:
        (problem,) = problems(values)
        assert [fact for fact in facts if fact not in problem] == [], problem

    def test_zero_3_is_refused_with_its_reason(self) -> None:
        (problem,) = problems({"engine": {"zero_stage": 3}})
        for fact in ("zero_stage is 3", "stale gradients", "use 0, 1 or 2", "engine.allow_zero3: true"):
            assert fact in problem
        assert parse({"engine": {"zero_stage": 3, "allow_zero3": True}}).engine.zero_stage == 3
        one_task_a_step = {"engine": {"zero_stage": 3, "allow_zero3": True}, "mixing": {"strategy": "uniform"}}
        assert len(problems(one_task_a_step)) == 1

    def test_every_wrong_field_has_a_message(self) -> None:
        given = {"seed": -1, "mode": "x", "optim": {"lr": 0, "bogus": 1}, "smart": {"steps": 1.5}, "budget": {}}
        found = problems(given)
        assert len(found) == 6
        for name in ("seed", "mode", "optim.lr", "optim.bogus", "smart.steps", "budget.epochs"):
            assert any(name in sentence for sentence in found), name

    def test_every_conflict_of_sections_has_a_message(self) -> None:
        found = problems(
            {
                "mixture": ["sst", "sts"],
                "mixing": {"strategy": "ratios", "ratios": {"sst": 0.5, "sts": 0.4}, "loss_weights": "explicit"},
                "smart": {"epsilon": 1e-5},
                "engine": {"precision": "bf16"},
            }
        )
        ratios, weights, epsilon = found
        assert ratios.startswith("mixing.ratios sums to 0.9")
        assert weights.startswith("mixing.weights") and "(sst, sts)" in weights
        for fact in ("smart.epsilon 1e-05", "bf16", "0.00390625", "engine.precision: fp32"):
            assert fact in epsilon

    def test_ratios_of_other_tasks(self) -> None:
        (problem,) = problems({"mixture": ["sst"], "mixing": {"strategy": "ratios", "ratios": {"sts": 1.0}}})
        assert problem.startswith("mixing.ratios") and "(sst)" in problem

    @pytest.mark.parametrize("smart", [{"enabled": False}, {"lambda": 0}])
    def test_an_epsilon_that_nothing_uses_is_no_problem(self, smart: dict[str, Any]) -> None:
        assert parse({"smart": smart, "engine": {"precision": "bf16"}})

    def test_the_smallest_epsilon_of_the_sentence_is_usable(self) -> None:
        """In each precision adding it changes a number near 0.5, and adding half of it does not."""
        import torch

        from model.config import SMALLEST_EPSILON

        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            smallest, near = SMALLEST_EPSILON[precision], torch.tensor(0.5, dtype=dtype)
            assert near + torch.tensor(smallest, dtype=dtype) != near
            assert near + torch.tensor(smallest / 4, dtype=dtype) == near
            assert parse({"smart": {"epsilon": smallest}, "engine": {"precision": precision}})
            assert problems({"smart": {"epsilon": 0.99 * smallest}, "engine": {"precision": precision}})


def test_nearest_prefers_the_same_leaf() -> None:
    valid = list(field_names())
    assert nearest("optim.epsilon", valid) == " (did you mean smart.epsilon?)"
    assert nearest("smart.epsilom", valid) == " (did you mean smart.epsilon?)"
    assert nearest("qqq", valid) == ""


def test_field_names_are_those_of_the_written_config() -> None:
    """Nested settings by their dotted name, as users write them; `None` ones are not written."""

    def dotted(values: dict[str, Any], prefix: str = "") -> set[str]:
        names: set[str] = set()
        for name, value in values.items():
            leaf = not isinstance(value, dict) or f"{prefix}{name}" in ("mixing.ratios", "mixing.weights")
            names |= {prefix + name} if leaf else dotted(value, f"{prefix}{name}.")
        return names

    per_task = {f"smart.{name}.{task}" for name in ("task_lambda", "task_epsilon") for task in TASKS}
    assert set(field_names()) - dotted(parse({}).to_dict()) == {"budget.examples", "budget.early_eval_examples", *per_task}
    assert "smart.lambda" in field_names()


@pytest.mark.parametrize(
    ("ranks", "accumulation", "fits"), [(1, 1, True), (2, 4, True), (4, 2, True), (3, 1, False), (2, 8, False)]
)
def test_ranks_and_micro_batches_divide_the_batch(ranks: int, accumulation: int, fits: bool) -> None:
    config = parse({"optim": {"batch_size": 8, "accumulation": accumulation}})
    found = config.gang_problems(ranks)
    assert (found == []) == fits
    if not fits:
        assert found[0].startswith(f"optim.batch_size 8 does not divide over {ranks} rank(s) × {accumulation} micro-batch(es)")


@pytest.mark.parametrize("text", ["optim: [", "a: b: c", "- 1\n- 2", "\t- x"])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    assert "\n" not in problem


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("smart", "cost"),
    [
        ({"enabled": False}, 1.0),
        ({"steps": 1, "mu": 0}, 8 / 3),
        ({"steps": 1, "mu": 1}, 3.0),
        ({"steps": 0, "mu": 0}, 2.0),
        ({"steps": 3, "mu": 1}, 13 / 3),
        ({"lambda": 0, "mu": 1}, 4 / 3),
    ],
)
def test_cost_of_a_step(smart: dict[str, Any], cost: float) -> None:
    """(6 + 2K + [μ > 0]) / 3 plain steps; without λ only the teacher's forward pass is added to the plain step's three."""
    assert cost_in_plain_steps(parse({"smart": smart}).smart) == pytest.approx(cost)
