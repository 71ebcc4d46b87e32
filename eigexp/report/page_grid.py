"""The grid of the page: rows are models and layers, columns are images, and a cell has the most and the least noticeable distortion."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from eigexp.report.cards import Card


@dataclass(frozen=True)
class Column:
    """An image of the grid: its label, and itself as a picture or as the SVG of a signal."""

    number: int
    name: str
    uri: str = ""
    signal: Markup | str = ""


@dataclass(frozen=True)
class Grid:
    """Rows of (label, cells), one cell a column: the card, or None where there is no result."""

    columns: list[Column]
    rows: list[tuple[str, list[Card | None]]]

    def number_of(self, card: Card) -> int:
        """Return the number of a card's image."""
        return next(column.number for column in self.columns if column.name == card.label.image)


def make_grid(cards: Sequence[Card], images: Sequence[str], uris: Mapping[str, str]) -> Grid:
    """Return the grid of cards.

    Args:
        cards: in the order of the rows.
        images: labels of the images, in order.
        uris: of the images that are pictures, by label.
    """
    count = Counter(card.label.image for card in cards)
    shown = sorted((name for name in images if count[name]), key=lambda name: -count[name])  # so that the first column is not empty
    signals = {card.label.image: card.signal for card in cards if not card.is_picture}
    columns = [Column(at, name, uris.get(name, ""), signals.get(name, Markup())) for at, name in enumerate(shown)]
    rows: dict[str, dict[str, Card]] = {}
    for card in cards:
        rows.setdefault(card.label.row, {})[card.label.image] = card
    return Grid(columns, [(name, [found.get(column.name) for column in columns]) for name, found in rows.items()])
