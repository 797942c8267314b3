// Events in a sound: the search, the timeline, the list and the download of the labels.

import { address, isAbort, readLines, withQuery } from "./api.js";
import { byId, setNote, setText } from "./dom.js";
import { button, make, newest, shareText } from "./elements.js";
import { timeText } from "./spectrogram-view.js";

/** @typedef {import("./spectrogram-draw.js").SoundEvent} SoundEvent */
/** @typedef {ReturnType<typeof import("./spectrogram.js").createSpectrogram>} Spectrogram */

const PAGE = 200;
// A sound up to this length is searched again when the threshold moves.
const QUICK_SECONDS = 120;

/**
 * @param {Spectrogram} spectrogram
 * @param {{onEvent: (event: SoundEvent) => void, onError: (error: unknown) => void, say: (text: string) => void}} handlers
 */
export function createEvents(spectrogram, handlers) {
  const searching = newest();
  const threshold = /** @type {HTMLInputElement} */ (byId("try-threshold"));
  const format = /** @type {HTMLSelectElement} */ (byId("try-labels-format"));
  let sound = { id: "", seconds: 0 };
  let model = "";
  /** @type {SoundEvent[]} */
  let events = [];
  /** @type {{threshold: number | null, done: boolean, error: string}} */
  let found = { threshold: null, done: false, error: "" };
  let running = false;
  let most = PAGE;
  let chosen = /** @type {SoundEvent | null} */ (null);
  const hidden = /** @type {Set<string>} */ (new Set());
  let asked = false;

  /** Forget the events. @param {{id: string, seconds: number}} next the sound @param {string} by id of the model */
  function reset(next, by) {
    searching.stop();
    sound = next;
    model = by;
    events = [];
    found = { threshold: null, done: false, error: "" };
    most = PAGE;
    chosen = null;
    hidden.clear();
    setRunning(false);
    setText(byId("try-events-count"), "");
    render();
  }

  async function search() {
    reset(sound, model);
    const { id, seconds } = sound;
    const signal = searching.begin();
    const value = chosenThreshold();
    setRunning(true);
    showProgress(0, seconds);
    const path = withQuery(address("api", "sounds", id, "detect"), { model, threshold: value });
    try {
      await readLines(path, { method: "POST", signal }, (line) => {
        if (!signal.aborted) take(line);
      });
      if (signal.aborted) return;
      found = { ...found, threshold: value, done: true };
      setRunning(false);
      countText();
      handlers.say(byId("try-events-count").textContent ?? "");
      render();
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      setRunning(false);
      handlers.onError(error);
    }
  }

  /** @param {any} line */
  function take(line) {
    if (line.kind === "progress") showProgress(line.seconds, line.of);
    if (line.kind === "event") {
      const { start, end, label, score } = line;
      events.push({ start, end, label, score });
      renderSoon();
    }
    if (line.kind === "end") found.error = line.error;
  }

  function stop() {
    searching.stop();
    setRunning(false);
    setText(byId("try-events-count"), `Stopped. Found so far: ${counted(events.length)}.`);
    render();
  }

  /** @param {boolean} next */
  function setRunning(next) {
    const lostFocus = document.activeElement === byId("try-detect-stop");
    running = next;
    byId("try-detect-line").hidden = !running;
    byId("try-detect-stop").hidden = !running;
    byId("try-detect").hidden = running;
    if (lostFocus && !running) byId("try-detect").focus();
  }

  /** @param {number} seconds @param {number} of */
  function showProgress(seconds, of) {
    const bar = /** @type {HTMLProgressElement} */ (byId("try-detect-progress"));
    bar.value = of > 0 ? seconds / of : 0;
    setText(byId("try-detect-text"), `${timeText(seconds, 1)} of ${timeText(of, 1)}, ${counted(events.length)}`);
  }

  function renderSoon() {
    if (asked) return;
    asked = true;
    setTimeout(() => {
      asked = false;
      render();
    }, 200);
  }

  function render() {
    spectrogram.setEvents(events, chosen ? events.indexOf(chosen) : -1);
    renderClasses();
    renderList();
    byId("try-labels-line").hidden = !found.done || events.length === 0;
    updateLink();
  }

  /** Buttons that hide a class from the list. */
  function renderClasses() {
    const box = byId("try-timeline");
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { label } of events) counts.set(label, (counts.get(label) ?? 0) + 1);
    box.hidden = counts.size < 2;
    for (const child of [...box.children]) {
      if (!counts.has(/** @type {HTMLElement} */ (child).dataset.key ?? "")) child.remove();
    }
    for (const [label, count] of counts) {
      const old = [...box.children].find((each) => /** @type {HTMLElement} */ (each).dataset.key === label);
      const chip = /** @type {HTMLElement} */ (old ?? box.appendChild(createChip(label)));
      setText(/** @type {HTMLElement} */ (chip.lastElementChild), `${label} ${count}`);
      /** @type {HTMLElement} */ (chip.firstElementChild).style.background = spectrogram.colourOf(label);
      chip.setAttribute("aria-pressed", String(!hidden.has(label)));
    }
  }

  /** @param {string} label */
  function createChip(label) {
    const chip = button("", () => {
      if (!hidden.delete(label)) hidden.add(label);
      render();
    }, { className: "quiet chip" });
    chip.title = "Show or hide these events in the list";
    chip.dataset.key = label;
    chip.append(make("span", "chip-colour"), make("span"));
    return chip;
  }

  function renderList() {
    const list = byId("try-events");
    const shown = events.filter((event) => !hidden.has(event.label));
    const wanted = shown.slice(0, most);
    const old = new Map([...list.children].map((row) => [rowEvents.get(row), row]));
    const rows = wanted.map((event) => old.get(event) ?? createRow(event));
    if (rows.some((row, index) => list.children[index] !== row) || list.children.length !== rows.length + Number(shown.length > most)) {
      const focused = document.activeElement;
      list.replaceChildren(...rows);
      if (shown.length > most) list.append(moreRow(shown.length - most));
      if (focused instanceof HTMLElement && list.contains(focused)) focused.focus();
    }
    wanted.forEach((event, index) => rows[index].firstElementChild?.setAttribute("aria-pressed", String(event === chosen)));
  }

  const rowEvents = /** @type {WeakMap<Element, SoundEvent>} */ (new WeakMap());

  /** @param {SoundEvent} event */
  function createRow(event) {
    const row = make("li");
    rowEvents.set(row, event);
    const play = button("", () => press(event), { className: "event-row", testid: "try-event" });
    const colour = make("span", "chip-colour");
    colour.style.background = spectrogram.colourOf(event.label);
    const step = sound.seconds > 600 ? 1 : 0.1;
    play.append(colour, make("span", "event-time number", `${timeText(event.start, step)} – ${timeText(event.end, step)}`),
      make("span", "event-label", event.label), make("span", "number", shareText(event.score)));
    play.title = "Play and select this event";
    row.append(play);
    return row;
  }

  /** @param {number} count */
  function moreRow(count) {
    const row = make("li");
    row.append(button(`Show ${Math.min(count, PAGE)} more of ${count}`, () => {
      const at = most;
      most += PAGE;
      renderList();
      /** @type {HTMLElement | null} */ (byId("try-events").children[at]?.querySelector("button"))?.focus();
    }, { className: "quiet" }));
    return row;
  }

  /** @param {SoundEvent} event */
  function press(event) {
    chosen = event;
    render();
    handlers.onEvent(event);
  }

  function countText() {
    const limit = thresholdText(found.threshold);
    const none = `No events with the threshold ${limit}. Choose a lower one and search again.`;
    const text = events.length === 0 ? none : `${counted(events.length)} found with the threshold ${limit}.`;
    setText(byId("try-events-count"), found.error ? `${text} ${found.error}` : text);
  }

  /** The threshold of the slider; null at its left end, for those of the model. */
  function chosenThreshold() {
    return Number(threshold.value) || null;
  }

  function updateLink() {
    const path = address("api", "sounds", sound.id, "labels");
    /** @type {HTMLAnchorElement} */ (byId("try-labels")).href =
      withQuery(path, { model, format: format.value, threshold: found.threshold });
  }

  byId("try-detect").addEventListener("click", () => void search());
  byId("try-detect-stop").addEventListener("click", stop);
  format.addEventListener("change", updateLink);
  threshold.addEventListener("input", () => setText(byId("try-threshold-value"), thresholdText(chosenThreshold())));
  threshold.addEventListener("change", () => {
    if (!found.done && !running) return;
    if (sound.seconds <= QUICK_SECONDS) void search();
    else setNote(byId("try-events-count"), `${counted(events.length)} found. The threshold has changed: press "Find events" to search again.`);
  });

  return {
    reset,
    /** An event was pressed on the canvas. @param {number} index */
    pressIndex: (index) => press(events[index]),
  };
}

/** @param {number} count */
function counted(count) {
  return count === 1 ? "1 event" : `${count} events`;
}

/** @param {number | null} value */
function thresholdText(value) {
  return value === null ? "of the model" : value.toFixed(2);
}
