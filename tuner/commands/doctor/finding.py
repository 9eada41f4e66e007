"""The result of a check, printed as one line."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclass(frozen=True)
class Finding:
    """The result of one check at one place. The names of the fields are those of `--json`."""

    check: str
    status: str
    """PASS, FAIL, or SKIP for a check that could not run."""
    said: str
    """The measured fact, the problem, or the reason of a SKIP."""
    mend: str = ""
    """What to do about a FAIL, as a clause."""
    node: str = ""
    """Address of the node; empty for checks that the driver does once."""

    def line(self) -> str:
        """The finding as one line of text."""
        mend = f"; {self.mend}" if self.mend else ""
        place = f"{self.node}: " if self.node else ""
        return f"{self.status}  {self.check:<11} {place}{' '.join((self.said + mend).split())}"


def passed(check: str, fact: str, node: str = "") -> Finding:
    return Finding(check, PASS, fact, node=node)


def failed(check: str, problem: str, mend: str = "", node: str = "") -> Finding:
    return Finding(check, FAIL, problem, mend, node)


def skipped(check: str, reason: str, node: str = "") -> Finding:
    return Finding(check, SKIP, reason, node=node)
