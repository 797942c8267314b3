/** The tab Build: the classes; its other parts have modules of their own. */

import { address, sendJson } from "./api.js";
import { stopRecording } from "./card-recorder.js";
import { classCard } from "./class-card.js";
import { stopPlaying } from "./clips.js";
import { byId } from "./dom.js";
import { startFindings } from "./findings-panel.js";
import { startTraining } from "./training-panel.js";

/** @typedef {import("./class-card.js").Card} Card */
/** @typedef {import("./class-card.js").CardInfo} CardInfo */
/** @typedef {import("./types.js").ClassInfo} ClassInfo */
/** @typedef {import("./types.js").Context} Context */

/** @type {CardInfo} */
const DRAFT_SOUND = { name: "my sound", clips: 0, seconds: 0, negative: false, draft: true };
/** @type {CardInfo} */
const DRAFT_BACKGROUND = { name: "background", clips: 0, seconds: 0, negative: true, draft: true };

/**
 * The classes of the project and, as long as there are fewer than two, prepared ones.
 * @param {ClassInfo[]} classes
 * @returns {CardInfo[]}
 */
export function cardsOf(classes) {
  if (classes.length === 0) return [DRAFT_SOUND, DRAFT_BACKGROUND];
  if (classes.length > 1) return classes;
  return [...classes, classes[0].negative ? DRAFT_SOUND : DRAFT_BACKGROUND];
}

/** @param {Context} context */
export function start(context) {
  /** @type {Map<string, Card>} by class name, in the order of the page */
  let cards = new Map();
  /** @type {Map<string, string>} renames that were sent: old name to new name */
  const renames = new Map();
  const container = byId("classes");
  const actions = { rename, remove };

  /** Classes keep their place: what a person works on does not jump. */
  function render() {
    const classes = context.state()?.project.classes ?? [];
    const wanted = new Map(cardsOf(classes).map((info) => [info.name, info]));
    /** @type {Map<string, Card>} */
    const next = new Map();
    const fresh = [...wanted.keys()].filter((name) => !cards.has(name));
    for (const [name, card] of cards) {
      const sent = renames.get(name);
      // The program may have replaced characters: the only new name is then that of this class.
      const renamed = sent && !wanted.has(sent) && fresh.length === 1 ? fresh[0] : sent;
      const now = !wanted.get(name)?.draft && wanted.has(name) ? name : renamed && wanted.has(renamed) ? renamed : name;
      if (wanted.has(now) && !next.has(now)) next.set(now, card);
      else card.root.remove();
    }
    for (const [name, info] of wanted) {
      const card = next.get(name) ?? classCard(info, context, actions);
      next.set(name, card);
      if (!card.root.isConnected) container.append(card.root);
      card.update(info);
    }
    cards = next;
    byId("steps").hidden = classes.some((info) => info.clips > 0);
  }

  /** @param {string} name */
  function focusCard(name) {
    (cards.get(name) ?? [...cards.values()].pop())?.focus();
  }

  /** @param {string} from @param {string} to @param {boolean} draft */
  async function rename(from, to, draft) {
    const before = renames.get(from);
    renames.set(from, to);
    const made = await context.attempt(() => {
      if (draft) return sendJson("POST", address("api", "classes"), { name: to });
      return sendJson("PATCH", address("api", "classes", from), { name: to });
    });
    if (made) {
      renames.set(from, made.name);
      setTimeout(() => renames.get(from) === made.name && renames.delete(from), 5000);
    } else if (before) renames.set(from, before);
    else renames.delete(from);
    return made?.name;
  }

  /** @param {string} name */
  async function remove(name) {
    // The key of a card is its name in the last state.
    const keys = [...cards.keys()];
    const place = [...cards.values()].findIndex((card) => card.name() === name);
    const own = cards.get(keys[place]);
    const neighbour = keys[place + 1] ?? keys[place - 1];
    const done = await context.attempt(async () => {
      await sendJson("DELETE", address("api", "classes", name));
      return true;
    });
    if (!done) return false;
    stopPlaying();
    const focused = document.activeElement;
    if (focused === document.body || own?.root.contains(focused)) focusCard(neighbour);
    context.status(`The class ${name} was deleted.`);
    return true;
  }

  /** @param {Event} event */
  async function add(event) {
    event.preventDefault();
    const input = byId("class-add-name");
    const name = input.value.trim();
    if (!name) return;
    const done = await context.attempt(async () => {
      await sendJson("POST", address("api", "classes"), { name });
      return true;
    });
    if (!done) return;
    if (input.value.trim() === name) input.value = "";
    input.focus();
    context.status(`The class ${name} was added. Now add sounds to it.`);
  }

  /** @param {string} className @param {string} file */
  async function reveal(className, file) {
    const found = await cards.get(className)?.reveal(file);
    if (!found) context.status(`${file} is no longer in ${className}.`);
  }

  byId("class-add-form").addEventListener("submit", add);
  context.onState(render);
  context.onTab((name) => {
    if (name === "build") return;
    stopPlaying();
    stopRecording();
  });
  startFindings(context, reveal);
  startTraining(context);
}
