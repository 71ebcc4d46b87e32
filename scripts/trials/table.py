"""The tables: one row a family, one row a solver."""

from collections.abc import Callable, Sequence
from statistics import median

from scripts.trials.count import Claim
from scripts.trials.questions import NEVER_VERIFIED

COLUMNS = ("trials", "claims", "verified", "proven", "krylov", "false", "largest excess", "products")


def tables(claims: Sequence[Claim]) -> str:
    """Both tables in Markdown, then the totals."""
    confirmable = [c for c in claims if c.group not in NEVER_VERIFIED]
    left_out = ", ".join(NEVER_VERIFIED)
    return "\n".join(
        [
            *_table("family", confirmable, lambda c: c.family),
            "",
            *_table("solver", claims, lambda c: c.group),
            "",
            f"{summary(claims)} The first table leaves out solver={left_out}, which proves nothing but zeros.",
        ]
    )


def summary(claims: Sequence[Claim]) -> str:
    verified, false = sum(c.verified for c in claims), sum(c.false for c in claims)
    families = len({c.family for c in claims})
    return f"{verified:,} verified claims of {len(claims):,} in {families} families, {false} false."


def row(claims: Sequence[Claim]) -> dict[str, str]:
    """Return the figures of some claims, by column. Products are the median of a run, in Fisher-vector products."""
    runs = {(c.family, c.variant, c.solver, c.dtype, c.seed, c.image): c.products for c in claims}
    verified = [c for c in claims if c.verified]
    return {
        "trials": f"{len(runs):,}",
        "claims": f"{len(claims):,}",
        "verified": f"{len(verified) / len(claims):.0%}",
        "proven": f"{sum(c.evidence == 'proven' for c in claims):,}",
        "krylov": f"{sum(c.evidence == 'krylov' for c in claims):,}",
        "false": f"{sum(c.false for c in claims)}",
        "largest excess": f"{max((c.excess for c in verified), default=0.0):.1e}",
        "products": f"{median(runs.values()):.0f}",
    }


def _table(first: str, claims: Sequence[Claim], key: Callable[[Claim], str]) -> list[str]:
    lines = [f"| {first} | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name in dict.fromkeys(map(key, claims)):
        figures = row([c for c in claims if key(c) == name])
        lines.append(f"| {name} | {' | '.join(figures.values())} |")
    return lines
