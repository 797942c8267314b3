// Try: what a sound is, which part of it decided, where events are, and how to correct it.

import { address } from "./api.js";
import { byId, setNote, setText } from "./dom.js";
import { onPlayer, forgetSound, pauseSound, playSound, playerState, seekSound } from "./player.js";
import { createSpectrogram } from "./spectrogram.js";
import { timeText } from "./spectrogram-view.js";
import { createAnswer } from "./try-answer.js";
import { createCorrect } from "./try-correct.js";
import { createEvents } from "./try-events.js";
import { createSounds } from "./try-sounds.js";

/** @typedef {import("./types.js").Sound} Sound */
/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./spectrogram-view.js").Range} Range */

// The frequencies of the pictures of the program, in Hz.
const LOWEST = 50;
const HIGHEST = 16000;

/**
 * Start the tab.
 * @param {Context} context
 */
export function start(context) {
  let sound = /** @type {Sound | null} */ (null);
  // Where the person asked for an answer, in seconds; null: where the classifier chooses.
  let classifyAt = /** @type {number | null} */ (null);

  const spectrogram = createSpectrogram(byId("try-spectrogram"), {
    onSeek: (time) => sound && seekSound(audioOf(sound), time),
    onSelect: showSelection,
    onPlay: togglePlay,
    onEvent: (index) => events.pressIndex(index),
    onView: showZoom,
    onError: context.error,
  });
  const answer = createAnswer(spectrogram, context.error);
  const events = createEvents(spectrogram, { onEvent: playEvent, onError: context.error, say: context.status });
  const correct = createCorrect({
    sound: () => sound,
    selection: spectrogram.selection,
    answer: answer.answer,
    state: context.state,
    useModel: context.chooseModel,
    say: context.status,
    onError: context.error,
  });
  const sounds = createSounds(context, { onChoose: show, onDelete: hide });

  /** @param {Sound} next */
  function show(next) {
    pauseSound();
    sound = next;
    classifyAt = null;
    byId("try-empty").hidden = true;
    byId("try-sound").hidden = false;
    byId("try-events-panel").hidden = !next.long;
    setText(byId("try-name"), next.name);
    setText(byId("try-facts"), factsOf(next));
    setNote(byId("try-note"), next.note ?? "");
    answer.clear();
    spectrogram.open({
      seconds: next.seconds,
      picture: address("api", "sounds", next.id, "picture"),
      band: [LOWEST, Math.min(HIGHEST, next.sample_rate / 2)],
    });
    spectrogram.select(null);
    events.reset(next, context.model()?.id ?? "");
    correct.open();
    showPlayer();
    ask();
  }

  /** @param {Sound} gone */
  function hide(gone) {
    forgetSound(audioOf(gone));
    if (sound?.id !== gone.id) return;
    sound = null;
    answer.clear();
    events.reset({ id: "", seconds: 0 }, "");
    byId("try-sound").hidden = true;
    byId("try-empty").hidden = false;
  }

  function ask() {
    const model = context.model();
    if (sound && model) void answer.ask(sound.id, model, classifyAt);
  }

  function togglePlay() {
    if (!sound) return;
    const url = audioOf(sound);
    const state = playerState();
    if (state.playing && state.url === url) {
      pauseSound();
      return;
    }
    const range = spectrogram.selection();
    if (range) void playSound(url, range.start, range.end);
    else void playSound(url, cursorOf(sound));
  }

  /** @param {{start: number, end: number}} event */
  function playEvent(event) {
    if (!sound) return;
    spectrogram.select({ start: event.start, end: event.end });
    spectrogram.setCursor(event.start);
    void playSound(audioOf(sound), event.start, event.end);
  }

  function showPlayer() {
    const state = playerState();
    const own = sound !== null && state.url === audioOf(sound);
    setText(byId("try-play"), own && state.playing ? "Pause" : "Play");
    if (own) spectrogram.follow(state.time);
    setText(byId("try-time"), sound ? timeText(own ? state.time : 0, 0.1) : "");
    if (own && state.error) context.error(state.error);
  }

  /** @param {Range | null} range */
  function showSelection(range) {
    setText(byId("try-range"), range
      ? `Selected ${timeText(range.start)} to ${timeText(range.end)} (${timeText(range.end - range.start)})` : "");
    hideButton("try-zoom", !range);
    hideButton("try-classify-here", !range);
    correct.update();
  }

  /** @param {Range} view */
  function showZoom(view) {
    hideButton("try-zoom-out", !sound || view.end - view.start >= sound.seconds - 1e-6);
  }

  byId("try-play").addEventListener("click", togglePlay);
  byId("try-zoom").addEventListener("click", () => {
    const range = spectrogram.selection();
    if (!range) return;
    const edge = (range.end - range.start) * 0.1;
    spectrogram.show({ start: range.start - edge, end: range.end + edge });
  });
  byId("try-zoom-out").addEventListener("click", () => {
    if (sound) spectrogram.show({ start: 0, end: sound.seconds });
  });
  byId("try-classify-here").addEventListener("click", () => {
    classifyAt = spectrogram.selection()?.start ?? null;
    ask();
  });
  onPlayer(showPlayer);
  context.onState(correct.onState);
  context.onModel((model) => {
    if (!sound || !model) return;
    events.reset(sound, model.id);
    ask();
  });
  context.onOpenSound((opened, className) => {
    sounds.open(opened);
    if (className) byId("try-correct-class").value = className;
    byId("try-name").focus();
  });
}

/** @param {Sound} sound */
function audioOf(sound) {
  return address("api", "sounds", sound.id, "audio");
}

/** Where the playback of the whole sound begins: at the cursor, or at 0 after the end. @param {Sound} sound */
function cursorOf(sound) {
  const { url, time } = playerState();
  return url === audioOf(sound) && time < sound.seconds - 0.05 ? time : 0;
}

/** @param {Sound} sound */
function factsOf(sound) {
  const channels = sound.channels === 1 ? "mono" : sound.channels === 2 ? "stereo" : `${sound.channels} channels`;
  return `${timeText(sound.seconds, 0.1)}, ${sound.sample_rate / 1000} kHz, ${channels}`;
}

/** Hide a button; its focus goes to the spectrogram. @param {string} id @param {boolean} hidden */
function hideButton(id, hidden) {
  const target = byId(id);
  if (hidden && document.activeElement === target) byId("try-spectrogram").focus();
  target.hidden = hidden;
}
