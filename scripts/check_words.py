"""Find retired names and phrases: ``python scripts/check_words.py``, also part of ``make lint``.

Prints a line for each with the replacement, and exits with 1 if there are any. Nothing silences a
line but another wording. Files that must keep a retired name, such as the reader of older model
files, are in ``EXEMPT``.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "docs", "scripts", "benchmarks", "studies")
SUFFIXES = (".py", ".md", ".toml")
EXEMPT = (
    "scripts/check_words.py",
    "tests/test_check_words.py",
    "src/sonotype/modelfile/older_formats.py",
    "tests/modelfile/test_older_formats.py",
)

NAMES = {
    "ClipFormat": "AudioSpec",
    "Heard": "EngineOutput, or seen_clips",
    "Answers": "Predictions",
    "EfficientATByProducts": "matmul_dft",
    "Fault": "DataIssue",
    "JoinedAttention": "JoinedPooling",
    "MapStore": "FeatureStore",
    "NO_EVENT": "IGNORE_INDEX",
    "PowerByProducts": "matmul_dft",
    "SHEETS": "LOG_SHEETS",
    "SeparateAttention": "SeparatePooling",
    "StageCache": "FeatureCache",
    "TaughtAnswers": "TeacherTargets",
    "VGGishByProducts": "matmul_dft",
    "band_shift": "freq_shift",
    "batches_ahead": "prefetch",
    "blend": "between_class_mix",
    "branch_1_rate": "backbone_lr_scale",
    "by_products": "matmul_dft",
    "category_from": "category_source",
    "choose_on": "select_on",
    "chunk_maps": "sliding.chunk, or feature maps",
    "clip_format": "audio_spec",
    "content_fault": "an issue of the content",
    "deal": "stratified_folds",
    "dealt": "assigned to folds",
    "dealt_alike": "same_split",
    "figures_of": "metrics",
    "find_sheets": "find_log_sheets",
    "heard_by": "seen_clips",
    "least_steps": "min_steps",
    "load_answers": "load_predictions",
    "lock_split": "write_split, or same_split",
    "map_store": "features.store",
    "partly_heard": "seen in part",
    "raise_faults": "raise_issues",
    "random_cut": "random_crop",
    "read_category": "read_hierarchy",
    "read_clip": "load_clip",
    "refuse_occupied": "require_free",
    "refuse_other": "check_same_config",
    "run_cell": "run_or_resume",
    "run_once": "run_or_resume",
    "save_answers": "save_predictions",
    "settle": "validate",
    "settle_split": "split",
    "shape_clip": "pad_or_trim",
    "taught_loss": "teacher_loss",
    "turned_back": "unroll, or fold",
    "value_fault": "an issue of the value",
    "version_of": "copy_number",
    "write_heard": "write_seen_clips",
    "--shifts": "--tta-shifts",
    "--variants": "--n-augmented",
}
"""Retired names; an underscore also stands for the hyphen of a flag."""

PHRASES = {
    r"hears?|heard": "use, process, seen",
    r"(?:go|goes|going|gone|went) on with": "continue, resume",
    r"(?:will|would) (?:not )?do(?=[.,;:)])": "is valid, is enough",
    r"(?:can|could|cannot|can not|could not) be had": "is available",
    r"as (?:\w+ ){1,3}ha(?:s|ve) it": "as in",
    r"(?<!there )(?:is|are) (?-i:none)(?=[.,;:)])": "is not",
    r"(?:none|nothing) such": "no",
    r"asunder": "apart",
    r"whisper(?:s|ed)?": "say",
    r"than a breath": "than a moment",
    r"(?:back and forth|forth and back)": "in both directions",
    r"(?:tell|tells|told) apart": "distinguish",
    r"honest teachers?": "uncontaminated teacher",
    r"nobody|everybody": "name the subject",
    r"rooms? of the house": "packages",
    r"sittings?": "session",
    r"twins?": "copy, or reference implementation",
    r"lest|withal|thereof|wherein|whither|hitherto|naught": "plain English",
}
"""Retired phrases, as regular expressions over text in which a line end is a space."""


def _patterns() -> Iterator[tuple[re.Pattern[str], str]]:
    for name, replacement in NAMES.items():
        yield re.compile(rf"(?<!\w){name.replace('_', '[-_]')}(?![\w-])"), replacement
    for phrase, replacement in PHRASES.items():
        yield re.compile(rf"(?<!\w)(?:{phrase})(?!\w)", re.IGNORECASE), replacement


PATTERNS = tuple(_patterns())


def retired_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, text and replacement of each retired name or phrase."""
    flat = text.replace("\n", " ")
    for pattern, replacement in PATTERNS:
        for match in pattern.finditer(flat):
            yield text.count("\n", 0, match.start()) + 1, match[0], replacement


def main() -> int:
    """Check all files of the project; return 1 if there is a retired word."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    count = 0
    for path in [*sorted(ROOT.glob("*.md")), *paths]:
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in SUFFIXES or name in EXEMPT:
            continue
        for line, word, replacement in sorted(retired_words(path.read_text(encoding="utf-8"))):
            print(f"{name}:{line}: {word!r} is retired; write: {replacement}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
