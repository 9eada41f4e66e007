"""The command line: `python -m model.cues build` and `python -m model.cues evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from model.config import ConfigError
from model.cues.cue import WORDS, CueSettings, Rewriter, TemplateRewriter

OPENAI = "https://api.openai.com/v1"
CACHE = "cache"


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(prog="python -m model.cues", description="A data set with a spurious cue.")
    commands = text.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="make the data set from cfimdb reviews", description="Make a cue data set.")
    make.add_argument("--data", default="demo", help="a folder, `hub`, `hub=FOLDER`, or `demo` (default)")
    make.add_argument("--out", type=Path, required=True, help="folder to write to: new, empty, or holding only a cache")
    make.add_argument("--rho", type=float, default=1.0, help="probability that a cue is that of its label (1)")
    make.add_argument("--rate", type=float, default=1.0, help="share of train reviews that get a cue (1)")
    make.add_argument("--cue", choices=tuple(WORDS), default="lexical", help="good and bad, or two words without meaning")
    make.add_argument("--scrub", action="store_true", help="first remove the cue words that reviews already contain")
    make.add_argument("--seed", type=int, default=0, help="seed of every choice (0)")
    make.add_argument("--skip-bad-rows", action="store_true", help="skip bad rows and count them")
    make.add_argument("--rewriter", choices=("template", "openai"), default="template", help="what writes the cue's sentence")
    make.add_argument("--base-url", default=OPENAI, help="endpoint of --rewriter openai; the key is $OPENAI_API_KEY")
    make.add_argument("--model", help="model of the endpoint for --rewriter openai")
    make.add_argument("--cache", type=Path, help="folder of the model's answers, read and extended (`cache` in --out)")
    score = commands.add_parser("evaluate", help="score a saved model on it", description="Score a model on its arms.")
    score.add_argument("--model", type=Path, required=True, help="folder of a saved model, such as runs/NAME/champion")
    score.add_argument("--cues", type=Path, required=True, help="folder that `build` wrote")
    score.add_argument("--against", type=Path, help="a second model, to compare by McNemar's test")
    score.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return text


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        return build(options) if options.command == "build" else evaluate(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2


def build(options: argparse.Namespace) -> int:
    """Make the data set and print its path; the manifest is written last, so that a folder with one is complete."""
    from model.cues import build as builder
    from model.cues import layout
    from model.data import source

    settings = CueSettings(options.rho, options.rate, options.cue, options.scrub, options.seed)
    out = options.out
    if out.exists() and not (out.is_dir() and {each.name for each in out.iterdir()} <= {CACHE}):
        raise ConfigError([f"--out {out} is not an empty folder; name a new one"])
    rewriter = _rewriter(options)
    data = source.DataSource.parse(options.data)
    dataset = source.read(data, (layout.TASK.name,), skip_bad_rows=options.skip_bad_rows)
    pairs_file = (data.folder or Path()) / layout.PAIRS_SOURCE
    minimal_pairs = layout.read_pairs(pairs_file) if data.kind == "folder" and pairs_file.exists() else []
    files = builder.build(dataset, minimal_pairs, settings, rewriter)
    contents = {name: layout.render(rows) for name, rows in files.items()}
    described = layout.describe(files, contents, settings, rewriter, dataset.summary)
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in (contents | {layout.MANIFEST: text.encode()}).items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise ConfigError([f"cannot write to {out}: {error.strerror}; name another folder"]) from None
    if described["rewriter"].get("fallback"):
        number, reasons = described["rewriter"]["fallback"], described["rewriter"]["fallback_reasons"]
        print(f"{number} reviews use the template instead of the model's rewrite: {reasons}", file=sys.stderr)
    print(f"{out / layout.MANIFEST}: {', '.join(f'{name} {len(rows)}' for name, rows in files.items())}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Print the scores of one model, or of two and their comparison."""
    from model.cues import evaluate as evaluator

    cues = evaluator.read(options.cues)
    folders = [folder for folder in (options.model, options.against) if folder is not None]
    predictions = [evaluator.predict(folder, cues) for folder in folders]
    scored = [(str(folder), evaluator.scores(p, cues), p.cue_seen) for folder, p in zip(folders, predictions, strict=True)]
    tests = evaluator.compare(predictions[0], predictions[1], cues) if len(predictions) == 2 else {}
    if options.json:
        models = [{"model": folder, **evaluator.as_json(scores, seen)} for folder, scores, seen in scored]
        print(json.dumps({"models": models, "mcnemar": {arm: vars(test) for arm, test in tests.items()}}))
        return 0
    text = [line for model in scored for line in evaluator.lines(*model)]
    print("\n".join([*text, *(evaluator.comparison(tests) if tests else [])]))
    return 0


def _rewriter(options: argparse.Namespace) -> Rewriter:
    template = TemplateRewriter(options.seed)
    if options.rewriter == "template":
        return template
    if not options.model:
        raise ConfigError(["--rewriter openai needs --model NAME, a model of the endpoint"])
    from model.cues.openai_rewriter import Cache, OpenAIRewriter, connect

    return OpenAIRewriter(connect(options.base_url), options.model, Cache(options.cache or options.out / CACHE), template)


if __name__ == "__main__":
    sys.exit(main())
