"""What a check found: one line each."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclass(frozen=True)
class Finding:
    """One check at one place."""

    check: str
    status: str
    """PASS, FAIL, or SKIP for a check that could not run: `said` has the reason."""
    said: str
    mend: str = ""
    """What to do about a FAIL, as a clause."""
    node: str = ""
    """Address of the node; empty for what is checked once, by the driver."""

    def line(self) -> str:
        """The finding as one line for people."""
        mend = f"; {self.mend}" if self.mend else ""
        place = f"{self.node}: " if self.node else ""
        return f"{self.status}  {self.check:<11} {place}{' '.join((self.said + mend).split())}"


def passed(check: str, said: str, node: str = "") -> Finding:
    return Finding(check, PASS, said, node=node)


def failed(check: str, said: str, mend: str = "", node: str = "") -> Finding:
    return Finding(check, FAIL, said, mend, node)


def skipped(check: str, reason: str, node: str = "") -> Finding:
    return Finding(check, SKIP, reason, node=node)


def is_well(findings: list[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.status != FAIL for finding in findings)
