/** The sounds of one class card: play, move, delete. */

import { address, getJson, sendJson, withQuery } from "./api.js";
import { copyTemplate, keepChildren, part, setNote, setOptions, setText } from "./dom.js";
import { compareTexts, duration } from "./words.js";

/** @typedef {import("./types.js").Clip} Clip */

const FIRST_SHOWN = 6;
const MORE_SHOWN = 60;
const LEAST_BETWEEN_MS = 400;

/** One sound plays at a time. */
const audio = new Audio();
/** @type {HTMLElement|null} */
let playing = null;

/** @param {HTMLElement|null} item  the clip whose button now stops */
function setPlaying(item) {
  if (playing) markPlaying(playing, false);
  playing = item;
  if (playing) markPlaying(playing, true);
}

/** @param {HTMLElement} item @param {boolean} on */
function markPlaying(item, on) {
  item.classList.toggle("playing", on);
  const button = part(item, "play");
  button.setAttribute("aria-label", `${on ? "Stop" : "Play"} ${part(item, "name").textContent}`);
}

export function stopPlaying() {
  audio.pause();
  if (audio.hasAttribute("src")) {
    // Ends the request, too: its file may be moved or deleted now.
    audio.removeAttribute("src");
    audio.load();
  }
  setPlaying(null);
}

audio.addEventListener("ended", () => setPlaying(null));

/**
 * @typedef {object} ClipList
 * @property {() => void} load  asks for the clips soon; several calls in a row are one request
 * @property {(clip: Clip) => void} add  shows a clip that was just stored
 * @property {(file: string) => Promise<boolean>} reveal  focuses a clip; false if there is none
 * @property {() => void} clear
 * @property {() => void} stop  ends the requests for lists that are not answered yet
 */

/**
 * @param {HTMLElement} card  copy of the template of a class
 * @param {() => string} className
 * @param {import("./types.js").Context} context
 * @param {() => boolean} noClass  whether the class is not made yet or is being deleted
 * @returns {ClipList}
 */
export function clipList(card, className, context, noClass) {
  const list = part(card, "clips");
  const more = part(card, "more");
  /** @type {Clip[]} */
  let clips = [];
  let shown = FIRST_SHOWN;
  let timer = 0;
  let lastLoad = 0;
  // A list that was asked for before a change on this page does not have that change.
  let changes = 0;
  let asking = new AbortController();

  const clipAddress = (/** @type {string} */ file, /** @type {string[]} */ ...rest) =>
    address("api", "classes", className(), "clips", file, ...rest);

  async function fetchClips() {
    lastLoad = Date.now();
    if (noClass() || !card.isConnected) return; // the next state loads the clips, if there are any
    const name = className();
    const before = ++changes;
    const list = address("api", "classes", name, "clips");
    const found = await context.attempt(() => getJson(list, asking.signal).catch(unlessGone));
    if (!found || name !== className() || before !== changes) return;
    clips = newestFirst(found);
    render();
  }

  function load() {
    if (timer) return;
    timer = window.setTimeout(() => {
      timer = 0;
      fetchClips();
    }, Math.max(0, lastLoad + LEAST_BETWEEN_MS - Date.now()));
  }

  function render() {
    const visible = clips.slice(0, shown);
    const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
    keepChildren(list, visible, (clip) => `${className()}/${clip.file}`, makeItem, updateItem);
    // The items of a renamed class are new ones: the focus goes to the same place.
    if (focused >= 0 && !list.contains(document.activeElement)) focusAt(focused);
    if (playing && !playing.isConnected) stopPlaying();
    const hidden = clips.length - visible.length;
    more.hidden = hidden === 0;
    if (hidden) setText(more, `Show ${Math.min(hidden, MORE_SHOWN)} more of ${clips.length}`);
  }

  more.addEventListener("click", () => {
    const first = shown;
    shown += MORE_SHOWN;
    render();
    focusAt(first);
  });

  /** @param {number} index */
  function focusAt(index) {
    const items = list.children;
    const item = items[Math.min(index, items.length - 1)];
    if (item) part(item, "play").focus();
    else part(card, "file").focus();
  }

  /** @param {Clip} clip */
  function makeItem(clip) {
    const item = copyTemplate("clip-template");
    const { file } = clip;
    setText(part(item, "name"), file);
    part(item, "name").title = file;
    part(item, "picture").src = withQuery(clipAddress(file, "picture"), { width: 160, height: 48 });
    part(item, "picture").addEventListener("error", () => item.classList.add("no-picture"));
    part(item, "play").addEventListener("click", () => play(item, file));
    part(item, "delete").addEventListener("click", () => remove(file));
    part(item, "delete").setAttribute("aria-label", `Delete ${file}`);
    startMove(item, file);
    markPlaying(item, false);
    return item;
  }

  /** @param {HTMLElement} item @param {Clip} clip */
  function updateItem(item, clip) {
    setText(part(item, "seconds"), duration(clip.seconds));
    const worst = clip.findings.find((one) => one.severity === "error") ?? clip.findings[0];
    setNote(part(item, "finding"), clip.findings.map((one) => one.text).join(" "));
    part(item, "finding").dataset.severity = worst?.severity ?? "";
  }

  /** @param {HTMLElement} item @param {string} file */
  async function play(item, file) {
    const stop = playing === item;
    stopPlaying();
    if (stop) return;
    setPlaying(item);
    audio.src = clipAddress(file, "audio");
    try {
      await audio.play();
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      if (playing === item) setPlaying(null);
      context.error(`${file} cannot be played.`);
    }
  }

  /** @param {string} file */
  function stopIfPlaying(file) {
    const index = clips.findIndex((clip) => clip.file === file);
    if (playing && list.children[index] === playing) stopPlaying();
  }

  /** @param {string} file */
  function dropClip(file) {
    const index = clips.findIndex((clip) => clip.file === file);
    const hadFocus = list.contains(document.activeElement);
    stopIfPlaying(file);
    changes += 1;
    clips = clips.filter((clip) => clip.file !== file);
    render();
    // Without an index the list was loaded before the answer came, and moved the focus then.
    if (hadFocus && index >= 0) focusAt(index);
    load();
  }

  /** @param {string} file */
  async function remove(file) {
    stopIfPlaying(file);
    const done = await context.attempt(async () => {
      await sendJson("DELETE", clipAddress(file));
      return true;
    });
    if (!done) return;
    dropClip(file);
    const folder = context.state()?.project.folder ?? "the project folder";
    context.status(`${file} was deleted. It is kept in ${folder}/.sonotype/trash.`);
  }

  /** @param {HTMLElement} item @param {string} file */
  function startMove(item, file) {
    const [open, form, select] = ["move-open", "move-form", "move"].map((name) => part(item, name));
    const toggle = (/** @type {boolean} */ on) => {
      form.hidden = !on;
      part(item, "actions").hidden = on;
      (on ? select : open).focus();
    };
    open.setAttribute("aria-label", `Move ${file}`);
    select.setAttribute("aria-label", `Class to which ${file} is moved`);
    open.addEventListener("click", () => {
      const others = (context.state()?.project.classes ?? []).filter((one) => one.name !== className());
      if (!others.length) {
        context.status("There is no other class. Add one first.");
        return;
      }
      setOptions(select, others.map((one) => ({ value: one.name, text: one.name })));
      toggle(true);
    });
    part(item, "move-cancel").addEventListener("click", () => toggle(false));
    form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") toggle(false);
    });
    form.addEventListener("submit", async (/** @type {Event} */ event) => {
      event.preventDefault();
      const to = select.value;
      stopIfPlaying(file);
      const done = await context.attempt(async () => {
        await sendJson("POST", clipAddress(file, "move"), { to });
        return true;
      });
      if (!done) return;
      dropClip(file);
      context.status(`${file} was moved to ${to}.`);
    });
  }

  return {
    load,
    add(clip) {
      changes += 1;
      clips = newestFirst([clip, ...clips.filter((one) => one.file !== clip.file)]);
      render();
      load();
    },
    async reveal(file) {
      if (!clips.some((clip) => clip.file === file)) await fetchClips();
      const index = clips.findIndex((clip) => clip.file === file);
      if (index < 0) return false;
      shown = Math.max(shown, index + 1);
      render();
      focusAt(index);
      list.children[index].scrollIntoView({ block: "center" });
      return true;
    },
    clear() {
      changes += 1;
      clips = [];
      render();
    },
    stop() {
      asking.abort();
      asking = new AbortController();
    },
  };
}

/**
 * The class was deleted by someone else: the next state says so.
 * @param {import("./api.js").RequestError} error
 * @returns {undefined}
 */
function unlessGone(error) {
  if (error.kind !== "gone") throw error;
}

/** @param {Clip[]} clips @returns {Clip[]} */
function newestFirst(clips) {
  return [...clips].sort((a, b) => compareTexts(b.added, a.added) || compareTexts(a.file, b.file));
}
