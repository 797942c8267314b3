"""Label files as their programs write them, by name; each belongs to ``night.wav``."""

from __future__ import annotations

from label_texts import (
    BIRDNET_CSV,
    BIRDNET_KALEIDOSCOPE,
    BIRDNET_R,
    BIRDNET_RAVEN,
    RAVEN,
    short_text_grid,
    text_grid,
)

_LABELS = [(1.0, 2.5, "owl"), (3.0, 4.25, "dog"), (6.0, 7.0, "owl")]


def _rows(header: str, row: str, separator: str) -> str:
    lines = [header]
    for number, (start, end, label) in enumerate(_LABELS, 1):
        lines.append(
            row.format(
                number=number, start=start, end=end, label=label, length=end - start
            ).replace("|", separator)
        )
    return "\n".join(lines) + "\n"


LABEL_FILES = {
    "night.Table.1.selections.txt": _rows(
        RAVEN + "\tAnnotation", "{number}|Spectrogram 1|1|{start}|{end}|100.0|4000.0|{label}", "\t"
    ),
    "night.BirdNET.selection.table.txt": _rows(
        BIRDNET_RAVEN,
        "{number}|Spectrogram 1|1|{start}|{end}|0|15000|{label}|x|0.9|night.wav|{start}",
        "\t",
    ),
    "night.BirdNET.results.csv": _rows(
        BIRDNET_CSV, "{start}|{end}|Strix aluco|{label}|0.8|night.wav", ","
    ),
    "night.BirdNET.results.r.csv": _rows(
        BIRDNET_R, "night.wav|{start}|{end}|Strix|{label}|0.8|-1|-1|-1|0|1|0.1|x|y", ","
    ),
    "night.kaleidoscope.csv": _rows(
        BIRDNET_KALEIDOSCOPE, "|.|night.wav|{start}|{length}|Strix|{label}|0.8|-1|-1|-1|0|1", ","
    ),
    "night.audacity.txt": "".join(
        f"{start:.6f}\t{end:.6f}\t{label}\n\\\t100.0\t4000.0\n" for start, end, label in _LABELS
    ),
    "night.TextGrid": text_grid(("calls", _LABELS), ("other", _LABELS[:1])),
    "night.short.TextGrid": short_text_grid("calls", _LABELS),
    "annotations.csv": _rows(
        "path,start,end,label,low,high,group,fold",
        "night.wav|{start}|{end}|{label}|10|900|g|1",
        ",",
    ),
    "night.csv": _rows("onset,offset,event_label", "{start}|{end}|{label}", ","),
    "spans.csv": "path,start,end\nnight.wav,0,5\nnight.wav,6,9\n",
}
