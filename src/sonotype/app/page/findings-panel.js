/** The check of the sounds: what was found, where, and what to do. */

import { address, getJson } from "./api.js";
import { byId, element, keepChildren, setText } from "./dom.js";
import { counted } from "./words.js";

/** @typedef {import("./types.js").Finding} Finding */

const WAIT_MS = 700;
const PLACES_SHOWN = 20;
const SEVERITIES = { error: "Problem", warning: "Warning", note: "Note" };

/**
 * @param {import("./types.js").Context} context
 * @param {(className: string, file: string) => void} reveal  shows a sound in its class
 */
export function startFindings(context, reveal) {
  const box = byId("findings");
  const summary = element("p");
  const list = element("ul", "", { class: "found" });
  box.append(summary, list);
  box.tabIndex = -1;
  let signature = "";
  let timer = 0;
  let asked = 0;

  async function load() {
    asked += 1;
    const request = asked;
    const found = await context.attempt(() => getJson(address("api", "findings")));
    if (found && request === asked) render(found);
  }

  /** @param {Finding[]} findings */
  function render(findings) {
    const places = findings.reduce((sum, one) => sum + one.places.length, 0);
    const text = findings.length
      ? `${counted(findings.length, "thing")} to look at${places ? `, in ${counted(places, "place")}` : ""}.`
      : "No problems were found.";
    setText(summary, text);
    const focused = list.contains(document.activeElement);
    keepChildren(list, findings, (one) => JSON.stringify(one), (one) => findingItem(one, reveal));
    // What had the focus was corrected.
    if (focused && !list.contains(document.activeElement)) box.focus();
  }

  context.onState(({ project }) => {
    const next = JSON.stringify(project.classes);
    if (next === signature) return;
    signature = next;
    clearTimeout(timer);
    if (project.classes.every((info) => info.clips === 0)) {
      asked += 1;
      setText(summary, "Each sound is checked when it is added: whether it can be read, is silent, too loud, or there twice.");
      keepChildren(list, [], String, () => element("li"));
      return;
    }
    if (!list.childElementCount) setText(summary, "Checking the sounds ...");
    timer = window.setTimeout(load, WAIT_MS);
  });
}

/** @param {Finding} finding @param {(className: string, file: string) => void} reveal */
function findingItem(finding, reveal) {
  const item = element("li", "", { "data-testid": "finding", "data-severity": finding.severity });
  const line = element("p");
  line.append(
    element("span", SEVERITIES[finding.severity] ?? "Note", { class: "tag" }),
    ` ${finding.text} `,
    element("span", finding.advice, { class: "hint" }),
  );
  item.append(line);
  if (finding.places.length) item.append(placesOf(finding.places, reveal));
  return item;
}

/**
 * @param {import("./types.js").Place[]} places
 * @param {(className: string, file: string) => void} reveal
 */
function placesOf(places, reveal) {
  const details = element("details");
  const list = element("ul");
  for (const place of places.slice(0, PLACES_SHOWN)) {
    const row = element("li");
    if (place.file) {
      const button = element("button", `${place.class} / ${place.file}`, { type: "button", class: "link" });
      button.addEventListener("click", () => reveal(place.class, place.file));
      row.append(button);
    } else {
      row.append(place.class);
    }
    if (place.detail) row.append(` ${place.detail}`);
    list.append(row);
  }
  const left = places.length - PLACES_SHOWN;
  if (left > 0) list.append(element("li", `and ${left} more`));
  details.append(element("summary", counted(places.length, "place")), list);
  return details;
}
