"""`python -m tuner COMMAND`, also installed as `smart-tuner COMMAND`."""

from __future__ import annotations

import sys
from pathlib import Path

from model.config import nearest
from tuner.artifacts.atomic import print_any_path
from tuner.commands import COMMANDS

WRONG_USAGE = 2


def main(argv: list[str] | None = None) -> int:
    """Run the command that `argv` begins with. Returns its exit status, or 2 where there is no such command."""
    print_any_path()
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if name in COMMANDS:
        return COMMANDS[name].load()(arguments)
    if name in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    problem = f"there is no command {name}{nearest(name, list(COMMANDS))}\n" if name else ""
    sys.stderr.write(problem + usage())
    return WRONG_USAGE


def usage() -> str:
    """Every command with its line."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}\n" for name, command in COMMANDS.items()]
    program = "smart-tuner" if Path(sys.argv[0]).name == "smart-tuner" else "python -m tuner"
    return f"usage: {program} COMMAND [--help] …\n\n" + "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
