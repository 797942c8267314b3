"""Slow, obvious references for events from scores over time: loops over frames of one class."""

from __future__ import annotations

from itertools import pairwise

from sonotype.config import EventOptions

Spans = list[tuple[int, int, float]]
Times = list[float]


def median_filtered(score: list[float], size: int) -> list[float]:
    """The middle of the sorted scores around each frame; outside, the nearest score counts."""
    frames, half = len(score), size // 2
    result = []
    for frame in range(frames):
        around = range(frame - half, frame + half + 1)
        window = [score[min(max(index, 0), frames - 1)] for index in around]
        result.append(sorted(window)[half])
    return result


def hysteresis_runs(score: list[float], low: float, high: float) -> Spans:
    """Runs of at least ``low`` that reach ``high``, with their highest score."""
    found, start = [], None
    for frame in range(len(score) + 1):
        inside = frame < len(score) and score[frame] >= low
        if inside and start is None:
            start = frame
        if not inside and start is not None:
            if max(score[start:frame]) >= high:
                found.append((start, frame, max(score[start:frame])))
            start = None
    return found


def change_boxes(score: list[float], floor: float, half: int, options: EventOptions) -> Spans:
    """Boxes of a curve whose scores are at least the floor, or 0."""
    found: Spans = []
    for start, stop in _regions(score, floor, half):
        part = score[start:stop]
        pairs = _pairs(part, half)
        while join := _weakest(part, pairs, options):
            pairs[join - 1 : join + 1] = [(pairs[join - 1][0], pairs[join][1])]
        found += [(start + a, start + b, _mean(part, a, b)) for a, b in pairs]
    return found


def refined_boxes(times: Times, score: list[float], spans: Spans) -> list[tuple[float, ...]]:
    """Starts and ends inside frames, by the covered share of the two frames at each end."""

    def at(frame: int) -> float:
        return score[frame] if 0 <= frame < len(score) else 0.0

    def length(frame: int) -> float:
        return times[frame + 1] - times[frame] if 0 <= frame < len(score) else 0.0

    def covered(out: int, edge: int, inside: int, level: float) -> float:
        low = min(at(out), at(edge))
        if level <= low:
            return length(inside)
        return sum(
            min(max((at(one) - low) / (level - low), 0.0), 1.0) * length(one)
            for one in (edge, inside)
        )

    found: list[tuple[float, ...]] = []
    for number, (first, stop, value) in enumerate(spans):
        level = max(score[first:stop])
        start = times[first + 1] - covered(first - 2, first - 1, first, level)
        end = times[stop - 1] + covered(stop + 1, stop, stop - 1, level)
        if found and start <= found[-1][1]:
            start = times[first]
            found[-1] = (found[-1][0], times[spans[number - 1][1]], found[-1][2])
        found.append((start, end, value))
    return found


def events(times: Times, score: list[float], options: EventOptions) -> list[tuple[float, ...]]:
    """All steps on a whole curve, without dividing it into parts."""
    lengths = sorted(b - a for a, b in pairwise(times[:10]))
    half = len(lengths) // 2
    frame = lengths[half] if len(lengths) % 2 else (lengths[half - 1] + lengths[half]) / 2
    threshold, change = options.threshold, options.method == "change_point"
    floor = threshold * 0.1 if change else threshold * options.hysteresis
    size = 1
    while options.median >= (size + 1) * frame - 1e-9:
        size += 2
    smooth = median_filtered([value if value >= floor else 0.0 for value in score], size)
    if change:
        step = max(1, round(options.step / 2 / frame))
        spans = change_boxes(smooth, floor, step, options)
        found = [box for box in refined_boxes(times, smooth, spans) if box[2] >= threshold]
    else:
        spans = hysteresis_runs(smooth, floor, threshold)
        found = [(times[first], times[stop], value) for first, stop, value in spans]
    index = 1
    while index < len(found):
        before, after = found[index - 1], found[index]
        if after[0] - before[1] <= options.merge_gap + 1e-9:
            found[index - 1 : index + 1] = [(before[0], after[1], max(before[2], after[2]))]
        else:
            index += 1
    result = []
    for start, end, value in found:
        if end - start >= options.min_length - 1e-9:
            longest = options.max_length or end - start
            result.append((start, end if end - start <= longest else start + longest, value))
    return result


def _regions(score: list[float], floor: float, half: int) -> list[tuple[int, int]]:
    regions: list[tuple[int, int]] = []
    for frame, value in enumerate(score):
        if value < floor:
            continue
        if regions and frame - regions[-1][1] < 2 * half:
            regions[-1] = (regions[-1][0], frame + 1)
        else:
            regions.append((frame, frame + 1))
    return regions


def _pairs(part: list[float], half: int) -> list[tuple[int, int]]:
    """Onsets with their offsets; each value of the change is compared with the next different."""
    padded = [0.0] * half + part + [0.0] * half
    change = [
        round((sum(padded[i + half : i + 2 * half]) - sum(padded[i : i + half])) / half, 9)
        for i in range(len(part) + 1)
    ]
    change = [0.0, *change, 0.0]
    onsets, offsets = [], []
    for i in range(1, len(change) - 1):
        before = next((x for x in reversed(change[:i]) if x != change[i]), None)
        after = next((x for x in change[i + 1 :] if x != change[i]), None)
        if before is None or after is None:
            continue
        if before < change[i] > after and change[i + 1] != change[i]:
            onsets.append(i - 1)
        if before > change[i] < after and change[i - 1] != change[i]:
            offsets.append(i - 1)
    return list(zip(onsets, offsets, strict=True))


def _weakest(part: list[float], pairs: list[tuple[int, int]], options: EventOptions) -> int:
    """Index of the second box of the pair to join next; 0 for none."""
    best, found = 0.0, 0
    for index in range(1, len(pairs)):
        (a, b), (c, d) = pairs[index - 1], pairs[index]
        level, gap = max(_mean(part, a, b), _mean(part, c, d)), _mean(part, b, c)
        difference = round(level - gap, 9)
        close = options.merge_absolute > 0 and difference < options.merge_absolute
        close = close or level < options.merge_relative * gap
        if close and (not found or difference < best):
            best, found = difference, index
    return found


def _mean(part: list[float], start: int, stop: int) -> float:
    return round(sum(part[start:stop]) / (stop - start), 9)
