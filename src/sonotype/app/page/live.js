// Live: what the microphone hears now.

import { address, withQuery } from "./api.js";
import { showBars } from "./bars.js";
import { byId, setNote, setText } from "./dom.js";
import { make, shareText } from "./elements.js";
import { levelOf, microphoneProblem, openMicrophone } from "./recorder.js";
import { timeText } from "./spectrogram-view.js";
import { UNKNOWN } from "./try-answer.js";

/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./recorder.js").Microphone} Microphone */

const MOST_BARS = 6;
const MOST_EVENTS = 200;
const SILENT = -80;
// How far the meter falls at each block of samples, about 20 times a second.
const FALL_DB = 1.5;
// Share of the newest value in a bar; the rest is of the values before.
const NEWEST = 0.6;
// Milliseconds for the last events of a sound that has ended.
const LAST_MS = 5000;
// Seconds of sound that may wait for the program before sound is left out.
const MOST_WAITING = 5;
const LOST = "The connection to the program was lost. If the program was stopped, start `sonotype app` again, then press Start.";
const TAKEN = "The microphone is gone. Connect it again, then press Start.";

/**
 * Start the tab.
 * @param {Context} context
 */
export function start(context) {
  const press = byId("live-start");
  let session = /** @type {Session | null} */ (null);
  let busy = false;
  let level = SILENT;
  // The time of day at second 0 of the session: events of several sessions stand in one list.
  let began = 0;

  async function toggle() {
    if (busy) return;
    busy = true;
    try {
      if (session) await stop("");
      else await begin();
    } finally {
      busy = false;
    }
  }

  async function begin() {
    const model = context.model();
    setNote(byId("live-problem"), "");
    if (!model) {
      setNote(byId("live-problem"), "There is no model yet. Make one in Build first.");
      return;
    }
    setText(press, "Starting…");
    level = SILENT;
    try {
      session = await openSession(model.id, {
        onMessage: show,
        onLevel: moveLevel,
        onProblem: (text) => void stop(text),
      });
      began = Date.now();
      setPressed(true);
      context.status("Listening.");
    } catch (error) {
      setPressed(false);
      setNote(byId("live-problem"), microphoneProblem(error));
    }
  }

  /** @param {string} problem a sentence, or empty where the person stopped it */
  async function stop(problem) {
    const old = session;
    session = null;
    setPressed(false);
    showLevel(SILENT);
    if (problem) setNote(byId("live-problem"), problem);
    else context.status("Stopped.");
    await old?.close();
  }

  /** @param {boolean} pressed */
  function setPressed(pressed) {
    press.setAttribute("aria-pressed", String(pressed));
    press.classList.toggle("primary", !pressed);
    setText(press, pressed ? "Stop" : "Start");
  }

  /** The meter goes up at once and comes down slowly. @param {number} levelDb */
  function moveLevel(levelDb) {
    level = Math.max(levelDb, level - FALL_DB);
    showLevel(level);
  }

  const shares = /** @type {Map<string, number>} */ (new Map());

  /** @param {any} message of the program */
  function show(message) {
    if (message.kind === "scores") showScores(message, shares);
    if (message.kind === "event") showEvent(message, began);
    if (message.kind === "problem") setNote(byId("live-problem"), message.detail ?? message.text ?? message.message ?? "The program cannot go on.");
  }

  press.addEventListener("click", () => void toggle());
  byId("live-clear").addEventListener("click", () => {
    byId("live-events").replaceChildren();
    byId("live-none").hidden = false;
  });
  context.onModel(() => void restart());
  addEventListener("pagehide", () => void session?.close());

  /** Another model was chosen: go on with it. */
  async function restart() {
    shares.clear();
    byId("live-bars").replaceChildren();
    setNote(byId("live-unknown"), "");
    if (!session || busy) return;
    await toggle();
    await toggle();
  }
}

/**
 * @typedef {object} Session
 * @property {() => Promise<void>} close
 */

/**
 * Open the microphone, then the connection, and send one to the other.
 * @param {string} model id
 * @param {{onMessage: (message: any) => void, onLevel: (levelDb: number) => void, onProblem: (text: string) => void}} handlers
 * @returns {Promise<Session>}
 * @throws an error for `microphoneProblem`
 */
async function openSession(model, handlers) {
  let socket = /** @type {WebSocket | null} */ (null);
  let closed = false;
  /** @param {string} text */
  const fail = (text) => {
    if (!closed) handlers.onProblem(text);
  };
  const microphone = await openMicrophone((samples) => {
    if (closed) return;
    handlers.onLevel(levelOf(samples));
    if (socket?.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount < MOST_WAITING * 4 * microphone.rate) socket.send(littleEndian(samples));
  }, () => fail(TAKEN));
  socket = new WebSocket(socketAddress(model, microphone.rate));
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    // The end of the sound ends an event that goes on until then: it comes after the stop.
    if (!closed || message.kind === "event") handlers.onMessage(message);
  });
  socket.addEventListener("close", (event) => fail(event.reason || LOST));
  return {
    async close() {
      closed = true;
      const open = socket?.readyState === WebSocket.OPEN;
      if (open) socket?.send("end");
      await microphone.stop();
      // The program closes an open connection after its last message.
      setTimeout(() => socket?.close(), open ? LAST_MS : 0);
    },
  };
}

/** @param {string} model @param {number} rate */
function socketAddress(model, rate) {
  const url = new URL(withQuery(address("api", "live"), { model, rate }), location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/** @param {Float32Array} samples @returns {ArrayBuffer | Float32Array} float32, lowest byte first */
function littleEndian(samples) {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return samples;
  const view = new DataView(new ArrayBuffer(4 * samples.length));
  samples.forEach((sample, index) => view.setFloat32(4 * index, sample, true));
  return view.buffer;
}

/** @param {number} levelDb */
function showLevel(levelDb) {
  byId("live-level").value = levelDb;
}

/**
 * Show scores, smoothed so that the bars do not jump.
 * @param {any} message
 * @param {Map<string, number>} shares what is shown now, changed here
 */
function showScores(message, shares) {
  setText(byId("live-time"), timeText(message.time, 1));
  for (const { label, probability } of message.labels) {
    const before = shares.get(label) ?? probability;
    shares.set(label, before + NEWEST * (probability - before));
  }
  const current = new Set(message.labels.map((/** @type {{label: string}} */ each) => each.label));
  for (const label of [...shares.keys()]) if (!current.has(label)) shares.delete(label);
  const unknown = message.unknown;
  const bars = [...shares].sort((one, other) => other[1] - one[1]).slice(0, MOST_BARS)
    .map(([label, value], index) => ({ label, value, strong: index === 0 && !unknown?.is_unknown }));
  setNote(byId("live-unknown"), unknown?.is_unknown ? "Unknown: this sounds like none of the classes of the model." : "");
  showBars(byId("live-bars"), unknown ? withUnknown(bars, unknown) : bars, "");
}

/** @param {import("./bars.js").Bar[]} bars @param {{score: number, is_unknown: boolean}} unknown */
function withUnknown(bars, unknown) {
  const bar = { label: UNKNOWN, value: unknown.score, strong: unknown.is_unknown, plain: true, mark: unknown.is_unknown ? "none of the classes" : "" };
  return unknown.is_unknown ? [bar, ...bars] : [...bars, bar];
}

/**
 * @param {{start: number, end: number, label: string, score: number}} event
 * @param {number} began time of second 0, in milliseconds
 */
function showEvent(event, began) {
  const list = byId("live-events");
  const row = make("li", "event-row");
  row.dataset.testid = "live-event";
  const clock = new Date(began + event.start * 1000).toLocaleTimeString();
  const length = timeText(event.end - event.start, 0.1);
  row.append(make("span", "event-time number", `${clock}, ${length}`),
    make("span", "event-label", event.label), make("span", "number", shareText(event.score)));
  list.prepend(row);
  while (list.children.length > MOST_EVENTS) list.lastElementChild?.remove();
  byId("live-none").hidden = true;
}
