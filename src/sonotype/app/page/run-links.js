/** Finished trainings: their lines in the list, and what can be opened or downloaded. */

import { address, request } from "./api.js";
import { element, setText } from "./dom.js";
import { counted, dayAndTime, percent } from "./words.js";

/** @typedef {import("./types.js").Context} Context */
/** @typedef {import("./types.js").Run} Run */

/** @param {Run} run @returns {string} id of the model of a run */
export function modelIdOf(run) {
  return `run-${run.id}`;
}

/**
 * @param {Run} run
 * @param {Context} context
 * @returns {HTMLElement[]} list items with the report, the model and the ONNX file
 */
export function runLinks(run, context) {
  const items = [];
  if (run.report) items.push(link(run, "report", "Open the report", { target: "_blank", rel: "noopener" }));
  items.push(link(run, "model", "Download the model", { download: "" }));
  const onnx = element("button", "Download as ONNX", { type: "button", class: "link", "data-testid": "run-onnx" });
  onnx.addEventListener("click", () => downloadOnnx(run, context));
  items.push(inItem(onnx));
  return items;
}

/** @param {Run} run @param {string} kind @param {string} text @param {Record<string, string>} more */
function link(run, kind, text, more) {
  const href = address("api", "runs", run.id, kind);
  return inItem(element("a", text, { href, "data-testid": `run-${kind}`, ...more }));
}

/** @param {HTMLElement} content */
function inItem(content) {
  const item = element("li");
  item.append(content);
  return item;
}

/**
 * The file is made at the first request, which takes a while and may fail: an answer that is an
 * error must be shown and not stored as a file.
 * @param {Run} run
 * @param {Context} context
 */
async function downloadOnnx(run, context) {
  context.status("The ONNX file is made. This may take a minute.");
  const blob = await context.attempt(async () =>
    (await request(address("api", "runs", run.id, "onnx"))).blob(),
  );
  if (!blob) {
    context.status("");
    return;
  }
  const save = element("a", "", { href: URL.createObjectURL(blob), download: `sonotype-${run.id}.onnx` });
  save.click();
  setTimeout(() => URL.revokeObjectURL(save.href), 60_000);
  context.status("The ONNX file is ready.");
}

/** @param {Run} run @param {Context} context */
export function runRow(run, context) {
  const row = element("li", "", { class: "run", "data-testid": "run", tabindex: "-1" });
  const use = element("button", "Use this model", { type: "button", class: "quiet", "data-testid": "run-use" });
  use.setAttribute("aria-label", `Use the model of training ${run.id}`);
  use.addEventListener("click", () => {
    context.chooseModel(modelIdOf(run));
    context.status(`Try and Live now use the model of training ${run.id}.`);
  });
  const links = element("ul", "", { class: "links", "aria-label": `Files of training ${run.id}` });
  links.append(...runLinks(run, context));
  row.append(element("p"), use, links);
  return row;
}

/** @param {HTMLElement} row @param {Run} run */
export function updateRunRow(row, run) {
  const classes = Array.isArray(run.classes) ? run.classes.length : run.classes;
  const { accuracy } = run;
  const result = accuracy
    ? `${percent(accuracy.value)} right (${Math.round(accuracy.low * 100)} to ${percent(accuracy.high)})`
    : "not measured";
  const facts = [counted(run.clips, "sound"), counted(classes, "class", "classes"), run.backbone, result];
  const text = `Training ${run.id}, ${dayAndTime(run.created)}: ${facts.join(", ")}`;
  setText(/** @type {Element} */ (row.querySelector("p")), text);
}
