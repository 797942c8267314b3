"""Recognise the format of a sound file by its first bytes, and compare it with its suffix."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = {
    "WAV": (".wav", ".wave", ".rf64", ".w64"),
    "FLAC": (".flac",),
    "Ogg": (".ogg", ".oga", ".opus", ".spx", ".ogv"),
    "Ogg FLAC": (".ogg", ".oga", ".flac"),
    "MP3": (".mp3", ".mp2", ".mp1", ".mpeg", ".mpg"),
    "AAC": (".aac",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "MP4": (".mp4", ".m4a", ".m4b", ".m4v", ".mov", ".3gp", ".3g2", ".f4v", ".alac", ".aac"),
    "Matroska": (".mkv", ".mka", ".webm", ".weba"),
    "AVI": (".avi",),
    "ASF": (".wma", ".wmv", ".asf"),
    "AMR": (".amr", ".awb"),
    "WavPack": (".wv",),
}
"""By format the suffixes that fit it."""

_SIZES = 12


def format_of(path: Path) -> str:
    """The format of a file by its first bytes; empty for others, and if it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError:  # removed meanwhile, for example
        return ""
    if head[:4] in (b"RIFF", b"RF64", b"RIFX"):
        return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:_SIZES], "")
    if head[:4] == b"FORM":
        return "AIFF" if head[8:_SIZES] in (b"AIFF", b"AIFC") else ""
    starts = {
        b"fLaC": "FLAC",
        b"OggS": "Ogg",
        b".snd": "AU",
        b"caff": "CAF",
        b"\x1aE\xdf\xa3": "Matroska",
        b"0&\xb2u": "ASF",
        b"#!AM": "AMR",
        b"wvpk": "WavPack",
        b"ID3\x03": "MP3",
        b"ID3\x04": "MP3",
    }
    if head[:4] == b"OggS" and head[28:33] == b"\x7fFLAC":  # the first packet of the first page
        return "Ogg FLAC"
    if head[:4] in starts:
        return starts[head[:4]]
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return "AAC" if head[1] & 0x06 == 0 else "MP3"  # layer 0 is ADTS
    return ""


def wrong_suffix(path: Path) -> str:
    """The format of a file whose suffix belongs to another format; empty if they agree.

    Suffixes of formats that are not known here are never wrong. ID3 tags may precede any format.
    """
    suffix = path.suffix.lower()
    known = {other for some in SUFFIXES.values() for other in some}
    found = format_of(path)
    return found if found and suffix in known and suffix not in SUFFIXES[found] else ""
