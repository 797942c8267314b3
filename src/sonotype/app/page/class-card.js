/** One class: its name, its sounds, and the ways to add more. */

import { address, sendFile, sendJson, withQuery } from "./api.js";
import { clipList } from "./clips.js";
import { acceptDrops, copyTemplate, element, part, setNote, setText } from "./dom.js";
import { cardRecorder } from "./card-recorder.js";
import { uploadQueue } from "./uploads.js";
import { counted, duration } from "./words.js";

/** @typedef {import("./types.js").ClassInfo} ClassInfo */
/** @typedef {import("./types.js").Context} Context */

/** Sounds per class that are enough to begin. */
export const ENOUGH = 5;
/** A card that is still there after this time asks for its sounds again: its class was made anew. */
const LONGEST_DELETION_MS = 3000;

/**
 * @typedef {ClassInfo & {draft?: boolean}} CardInfo
 *   `draft`: the class is only prepared on the page; the first sound makes it.
 *
 * @typedef {object} Card
 * @property {HTMLElement} root
 * @property {() => string} name
 * @property {(info: CardInfo) => void} update
 * @property {(file: string) => Promise<boolean>} reveal  focuses one of its sounds
 * @property {() => void} focus
 */

/**
 * @typedef {object} CardActions
 * @property {(from: string, to: string, draft: boolean) => Promise<string|undefined>} rename  the new name
 * @property {(name: string) => Promise<boolean>} remove
 */

/**
 * @param {CardInfo} first
 * @param {Context} context
 * @param {CardActions} actions
 * @returns {Card}
 */
export function classCard(first, context, actions) {
  const root = copyTemplate("class-card-template");
  let info = first;
  const name = () => info.name;
  /** @type {object|null} */
  let deletion = null;
  const clips = clipList(root, name, context, () => deletion !== null || Boolean(info.draft));

  /** Deletes the class; its clips are not asked for from now on, since they have no address. */
  async function remove() {
    if (deletion) return;
    const own = (deletion = {});
    clips.stop();
    const done = await actions.remove(info.name);
    const goOn = () => {
      if (deletion !== own) return;
      deletion = null;
      clips.load();
    };
    if (!done) return goOn();
    part(root, "confirm").hidden = true;
    clips.clear();
    setTimeout(goOn, LONGEST_DELETION_MS);
  }

  /** @param {string} to @returns {Promise<boolean>} whether the class has another name now */
  async function rename(to) {
    const from = info.name;
    const now = await actions.rename(from, to, Boolean(info.draft));
    // A change that follows at once needs the name that the next state will have.
    if (now && info.name === from) update({ ...info, name: now, draft: false });
    return now !== undefined;
  }

  /**
   * Makes the class of a prepared card before its first sound.
   * @returns {Promise<import("./api.js").RequestError|undefined>} that the name is taken: perhaps another tab made it
   */
  async function ensureClass() {
    if (!info.draft) return undefined;
    try {
      await sendJson("POST", address("api", "classes"), { name: info.name });
    } catch (thrown) {
      const error = /** @type {import("./api.js").RequestError} */ (thrown);
      if (error.kind !== "name-taken") throw error;
      return error;
    }
    info = { ...info, draft: false };
    return undefined;
  }

  /** @param {Blob} file @param {string} fileName @param {(fraction: number) => void} [onFraction] */
  async function store(file, fileName, onFraction) {
    const taken = await ensureClass();
    const path = withQuery(address("api", "classes", name(), "clips"), { name: fileName });
    const clip = await sendFile(path, file, onFraction).catch((error) => {
      throw (error.kind === "gone" && taken) || error;
    });
    clips.add(clip);
    return clip;
  }

  startUploads(root, context, store);
  cardRecorder(root, context, store);
  startCut(root, context, name);
  startRename(root, () => info, rename);
  startDelete(root, () => info, context, remove);

  /** @param {CardInfo} next */
  function update(next) {
    const changed = next.name !== info.name || next.clips !== info.clips || next.seconds !== info.seconds;
    const before = info;
    info = next;
    if (info.draft) {
      deletion = null;
      part(root, "confirm").hidden = true;
    }
    setText(part(root, "title"), info.name);
    nameControls(root, info.name);
    part(root, "negative").hidden = !info.negative || info.name.toLowerCase() === "background";
    part(root, "delete").hidden = Boolean(info.draft);
    setText(part(root, "count"), countText(info));
    const fill = part(root, "fill");
    fill.value = Math.min(info.clips, ENOUGH);
    fill.setAttribute("aria-label", `${info.name}: ${info.clips} of ${ENOUGH} sounds`);
    root.classList.toggle("draft", Boolean(info.draft));
    root.classList.toggle("enough", info.clips >= ENOUGH);
    if (info.draft) clips.clear();
    else if (changed || before === first) clips.load();
  }

  return { root, name, update, reveal: clips.reveal, focus: () => part(root, "title").focus() };
}

/** @param {CardInfo} info */
function countText({ clips, seconds }) {
  if (clips === 0) return `No sounds yet. ${ENOUGH} are enough to begin.`;
  const have = `${counted(clips, "sound")}, ${duration(seconds)}.`;
  if (clips < ENOUGH) return `${have} Add ${ENOUGH - clips} more; ${ENOUGH} are enough to begin.`;
  return clips < 4 * ENOUGH ? `${have} Enough to begin; more make it better.` : have;
}

/** @param {HTMLElement} root @param {string} name  said with each control, for screen readers */
function nameControls(root, name) {
  const labels = {
    rename: `Rename ${name}`,
    delete: `Delete ${name}`,
    "rename-name": `New name of ${name}`,
    file: `Choose files for ${name}`,
    cut: `Cut from a recording for ${name}`,
    clips: `Sounds of ${name}`,
  };
  root.setAttribute("aria-label", name);
  for (const [key, label] of Object.entries(labels)) part(root, key).setAttribute("aria-label", label);
  part(root, "record").dataset.name = name;
}

/**
 * @param {HTMLElement} root
 * @param {Context} context
 * @param {(file: Blob, name: string, onFraction?: (fraction: number) => void) => Promise<any>} store
 */
function startUploads(root, context, store) {
  const box = part(root, "uploads");
  const bar = part(root, "upload-bar");
  const add = uploadQueue((file, onFraction) => store(file, file.name, onFraction), {
    progress(text, fraction) {
      box.hidden = false;
      bar.hidden = false;
      bar.value = fraction;
      setText(part(root, "upload-text"), text);
    },
    done(summary, refused) {
      bar.hidden = true;
      setText(part(root, "upload-text"), summary);
      context.status(`${root.getAttribute("aria-label")}: ${summary}`);
      showRefused(root, refused);
    },
  });
  const file = part(root, "file");
  file.addEventListener("change", () => {
    add([...file.files]);
    file.value = "";
  });
  acceptDrops(root, add);
  part(root, "refused-close").addEventListener("click", () => {
    part(root, "refused").hidden = true;
    file.focus();
  });
}

/** @param {HTMLElement} root @param {{name: string, reason: string}[]} refused */
function showRefused(root, refused) {
  part(root, "refused").hidden = refused.length === 0;
  setText(part(root, "refused-title"), `${counted(refused.length, "file")} could not be stored:`);
  const items = refused.map(({ name, reason }) => {
    const item = element("li");
    item.append(element("strong", name), ` ${reason}`);
    return item;
  });
  part(root, "refused-list").replaceChildren(...items);
}

/** @param {HTMLElement} root @param {Context} context @param {() => string} name */
function startCut(root, context, name) {
  const input = part(root, "cut");
  input.addEventListener("change", async () => {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    const path = withQuery(address("api", "sounds"), { name: file.name });
    const bar = part(root, "upload-bar");
    part(root, "uploads").hidden = bar.hidden = false;
    setText(part(root, "upload-text"), `Opening ${file.name}`);
    const sound = await context.attempt(() => sendFile(path, file, (fraction) => (bar.value = fraction)));
    part(root, "uploads").hidden = true;
    if (!sound) return;
    context.openSound(sound, name());
    context.status(`Select a part of ${file.name}, then keep it as ${name()}.`);
  });
}

/** @param {HTMLElement} root @param {() => CardInfo} info @param {(to: string) => Promise<boolean>} rename */
function startRename(root, info, rename) {
  const [form, input, open] = ["rename-form", "rename-name", "rename"].map((key) => part(root, key));
  const show = (/** @type {boolean} */ on) => {
    form.hidden = !on;
    part(root, "top").hidden = on;
  };
  const cancel = () => {
    if (input.readOnly) return; // the name is sent, and the answer closes the form
    show(false);
    open.focus();
  };
  open.addEventListener("click", () => {
    show(true);
    input.value = info().name;
    input.focus();
    input.select();
  });
  part(root, "rename-cancel").addEventListener("click", cancel);
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") cancel();
  });
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const to = input.value.trim();
    if (!to || input.readOnly) return;
    input.readOnly = true;
    const done = to === info().name || (await rename(to));
    input.readOnly = false;
    if (!done) return;
    const here = form.contains(document.activeElement);
    show(false);
    // Not to the button: a second press of Enter would open the form again.
    if (here) part(root, "title").focus();
  });
}

/** @param {HTMLElement} root @param {() => CardInfo} info @param {Context} context @param {() => void} remove */
function startDelete(root, info, context, remove) {
  const box = part(root, "confirm");
  const close = () => {
    box.hidden = true;
    part(root, "delete").focus();
  };
  part(root, "delete").addEventListener("click", () => {
    const { name, clips } = info();
    const folder = context.state()?.project.folder ?? "the project folder";
    const what = clips ? ` and its ${counted(clips, "sound")}` : "";
    const kept = clips ? ` The sounds are kept in ${folder}/.sonotype/trash.` : "";
    setNote(part(root, "confirm-text"), `Delete ${name}${what}?${kept}`);
    box.hidden = false;
    part(root, "confirm-no").focus();
  });
  part(root, "confirm-no").addEventListener("click", close);
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") close();
  });
  part(root, "confirm-yes").addEventListener("click", remove);
}
