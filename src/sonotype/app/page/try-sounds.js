// The list of sounds of Try: files, drops and recordings.

import { address, getJson, isAbort, reason, sendFile, sendJson, withQuery } from "./api.js";
import { acceptDrops, byId, setText } from "./dom.js";
import { button, keyed, make } from "./elements.js";
import { microphoneProblem, record } from "./recorder.js";
import { timeText } from "./spectrogram-view.js";
import { fileTime } from "./words.js";

/** @typedef {import("./types.js").Sound} Sound */
/** @typedef {{key: string, name: string, fraction: number, stop: AbortController}} Upload */

/**
 * @param {import("./types.js").Context} context
 * @param {{onChoose: (sound: Sound) => void, onDelete: (sound: Sound) => void}} handlers
 */
export function createSounds(context, handlers) {
  const list = byId("try-sounds");
  /** @type {Sound[]} */
  let sounds = [];
  /** @type {Upload[]} */
  let uploads = [];
  let chosen = "";
  let count = 0;
  // The sound to show when it arrives; a later choice of the person replaces it.
  let awaited = "";

  function render() {
    byId("try-none").hidden = sounds.length + uploads.length > 0;
    const rows = [...uploads, ...[...sounds].reverse()];
    keyed(list, rows, keyOf, (row) => ("key" in row ? createUpload(row) : createSound(row)), (item, row) => {
      if ("key" in row) updateUpload(item, row);
      else item.firstElementChild?.setAttribute("aria-current", String(row.id === chosen));
    });
  }

  /** @param {Sound} sound */
  function createSound(sound) {
    const item = make("li", "sound");
    item.dataset.testid = "try-sound-item";
    const open = button("", () => choose(sound), { className: "quiet sound-open" });
    open.append(make("span", "sound-name", sound.name), make("span", "hint number", timeText(sound.seconds, 0.1)));
    const drop = button("×", () => void remove(sound), { className: "quiet small", testid: "try-sound-delete", label: `Remove ${sound.name} from the list` });
    drop.title = "Remove from the list";
    item.append(open, drop);
    return item;
  }

  /** @param {Upload} upload */
  function createUpload(upload) {
    const item = make("li", "sound");
    const bar = make("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", `Progress of ${upload.name}`);
    item.append(make("span", "sound-name", upload.name), bar,
      button("Cancel", () => upload.stop.abort(), { className: "quiet small", label: `Cancel ${upload.name}` }));
    return item;
  }

  /** @param {Sound} sound */
  function choose(sound) {
    awaited = "";
    chosen = sound.id;
    render();
    handlers.onChoose(sound);
  }

  /** @param {Sound} sound */
  async function remove(sound) {
    await context.attempt(() => sendJson("DELETE", address("api", "sounds", sound.id)));
    sounds = sounds.filter((each) => each.id !== sound.id);
    if (chosen === sound.id) chosen = "";
    render();
    handlers.onDelete(sound);
    byId("try-sounds").querySelector("button")?.focus();
  }

  /** Send files one after another; the first one is shown. @param {{blob: Blob, name: string}[]} files */
  async function add(files) {
    const made = files.map(({ blob, name }) => {
      count += 1;
      return { blob, upload: { key: `upload-${count}`, name, fraction: 0, stop: new AbortController() } };
    });
    uploads = [...uploads, ...made.map((each) => each.upload)];
    awaited = made[0]?.upload.key ?? "";
    render();
    const refused = [];
    for (const { blob, upload } of made) {
      const why = await send(blob, upload);
      // Each refusal stays to be read until the end of the whole upload.
      if (why && refused.push(why)) context.error(refused.join(" "));
    }
  }

  /** @param {Blob} blob @param {Upload} upload @returns {Promise<string>} why it was refused, or empty */
  async function send(blob, upload) {
    let why = "";
    const path = withQuery(address("api", "sounds"), { name: upload.name });
    try {
      upload.stop.signal.throwIfAborted();
      const sound = await sendFile(path, blob, (fraction) => {
        upload.fraction = fraction;
        render();
      }, upload.stop.signal);
      uploads = uploads.filter((each) => each !== upload);
      sounds = [...sounds.filter((each) => each.id !== sound.id), sound];
      if (awaited === upload.key) choose(sound);
    } catch (error) {
      uploads = uploads.filter((each) => each !== upload);
      // The next file takes the place of the one that was to be shown.
      if (awaited === upload.key) awaited = uploads[0]?.key ?? "";
      if (!isAbort(error)) why = withName(upload.name, error);
    }
    render();
    return why;
  }

  async function refresh() {
    try {
      const before = new Set(sounds.map((each) => each.id));
      /** @type {Sound[]} */
      const found = await getJson(address("api", "sounds"));
      // What was added or removed on this page meanwhile, the list may not have.
      const now = new Set(sounds.map((each) => each.id));
      const listed = new Set(found.map((each) => each.id));
      const added = sounds.filter((each) => !before.has(each.id) && !listed.has(each.id));
      sounds = [...found.filter((each) => !before.has(each.id) || now.has(each.id)), ...added];
      render();
    } catch {
      // The line about the connection says what is wrong.
    }
  }

  const files = byId("try-file");
  files.addEventListener("change", () => {
    void add(namedFiles([...files.files]));
    files.value = "";
  });
  acceptDrops(byId("try-drop"), (dropped) => void add(namedFiles(dropped)));
  startRecording(context, (blob, name) => void add([{ blob, name }]));
  context.onTab((name) => {
    if (name === "try") void refresh();
  });
  void refresh();

  return {
    refresh,
    /** Show a sound that another part of the page has sent. @param {Sound} sound */
    open(sound) {
      sounds = [...sounds.filter((each) => each.id !== sound.id), sound];
      choose(sound);
    },
  };
}

/** An error that says which file it is about. @param {string} name @param {unknown} error */
function withName(name, error) {
  const text = reason(error);
  return text.toLowerCase().includes(name.toLowerCase()) ? text : `${name}: ${text}`;
}

/** @param {Sound | Upload} row */
function keyOf(row) {
  return "key" in row ? row.key : `sound-${row.id}`;
}

/** @param {File[]} files */
function namedFiles(files) {
  return files.map((file) => ({ blob: file, name: file.name }));
}

/** @param {HTMLElement} item @param {Upload} upload */
function updateUpload(item, upload) {
  const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
  // All is sent: the program reads the file now.
  if (upload.fraction < 1) bar.value = upload.fraction;
  else bar.removeAttribute("value");
}

/**
 * The record button: press to start, press to stop.
 * @param {import("./types.js").Context} context
 * @param {(blob: Blob, name: string) => void} onRecorded
 */
function startRecording(context, onRecorded) {
  const press = byId("try-record");
  const level = byId("try-level");
  let recorder = /** @type {import("./recorder.js").Recorder | null} */ (null);
  let busy = false;

  async function begin() {
    const name = `Recording ${fileTime(new Date())}.wav`;
    recorder = await record((levelDb, seconds) => {
      if (!recorder) return; // The last samples come after Stop.
      level.value = levelDb;
      setText(press, `Stop (${seconds.toFixed(0)} s)`);
    }, () => void toggle());
    press.dataset.name = name;
    setPressed(true);
    context.status("Recording. Press Stop to end.");
  }

  async function end() {
    const current = /** @type {import("./recorder.js").Recorder} */ (recorder);
    recorder = null;
    setPressed(false);
    const { blob, seconds, silent } = await current.stop();
    if (silent) context.error("The recording is silent. Check that the microphone is not muted.");
    context.status(`Recorded ${seconds.toFixed(1)} s.`);
    if (seconds > 0) onRecorded(blob, press.dataset.name ?? "Recording.wav");
  }

  /** @param {boolean} pressed */
  function setPressed(pressed) {
    press.setAttribute("aria-pressed", String(pressed));
    setText(press, pressed ? "Stop" : "Record");
    level.hidden = !pressed;
  }

  async function toggle() {
    if (busy) return;
    busy = true;
    try {
      await (recorder ? end() : begin());
    } catch (error) {
      recorder = null;
      setPressed(false);
      context.error(microphoneProblem(error));
    } finally {
      busy = false;
    }
  }

  press.addEventListener("click", () => void toggle());
}
