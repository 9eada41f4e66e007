"""The result of a check, printed as one line."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclass(frozen=True)
class Finding:
    """The result of one check at one place."""

    check: str
    status: str
    """PASS, FAIL, or SKIP for a check that could not run."""
    message: str
    """The measured fact, the problem, or the reason of a SKIP."""
    advice: str = ""
    """What to do about a FAIL, as a clause."""
    node: str = ""
    """Address of the node; empty for checks that the driver does once."""

    def to_json(self) -> dict[str, str]:
        """The finding in the form of `--json`."""
        return {"check": self.check, "status": self.status, "said": self.message, "mend": self.advice, "node": self.node}

    def line(self) -> str:
        """The finding as one line of text."""
        advice = f"; {self.advice}" if self.advice else ""
        place = f"{self.node}: " if self.node else ""
        return f"{self.status}  {self.check:<11} {place}{' '.join((self.message + advice).split())}"


def passed(check: str, fact: str, node: str = "") -> Finding:
    return Finding(check, PASS, fact, node=node)


def failed(check: str, problem: str, advice: str = "", node: str = "") -> Finding:
    return Finding(check, FAIL, problem, advice, node)


def skipped(check: str, reason: str, node: str = "") -> Finding:
    return Finding(check, SKIP, reason, node=node)


def tested(check: str, problem: str, fact: str, advice: str = "", node: str = "") -> Finding:
    """FAIL with the problem if there is one, else PASS with the fact."""
    return failed(check, problem, advice, node) if problem else passed(check, fact, node)
