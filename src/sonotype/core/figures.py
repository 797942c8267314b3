"""Figures as PNG files: colours, fonts, and a writer that does not change matplotlib's state."""

from __future__ import annotations

import warnings
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from sonotype.core.io import replacing
from sonotype.core.text import shorten

DPI = 120
TITLE_CELLS_PER_INCH = 10

# Okabe and Ito's palette for colour-blind people (https://jfly.uni-koeln.de/color/).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
)
"""Tried in turn for each character; fonts that are not installed are skipped."""


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Write a figure as PNG, with a title and with fonts for its characters.

    Raises:
        OptionsError: the file cannot be written.
    """
    if title:
        room = int(TITLE_CELLS_PER_INCH * figure.get_figwidth())
        figure.suptitle(shorten(title, room), fontsize=11, parse_math=False)
    installed = set(fontManager.get_font_names())
    fonts = [font for font in FONTS if font in installed]
    for text in figure.findobj(match=Text):
        text.set_fontfamily(fonts)
    canvas = FigureCanvasAgg(figure)
    with replacing(path) as part, warnings.catch_warnings():
        # A character that no installed font has is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas.print_figure(part, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.15)
