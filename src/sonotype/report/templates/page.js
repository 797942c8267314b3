"use strict";
// Tables with class "sortable": a click on a heading sorts by the cells' data-value, or their text.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    if (heading.hasAttribute("data-fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value ?? cell.textContent.trim();
      };
      const order = new Intl.Collator(undefined, {numeric: true});
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const difference = Number(x) - Number(y);
        return Number.isNaN(difference) || x === "" || y === "" ? order.compare(x, y) : difference;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => (rising ? 1 : -1) * compare(a, b));
      table.tBodies[0].append(...rows);
    });
  });
}

// Elements with data-tip show it on hover and on focus.
const tip = document.getElementById("tip");
let tipped = null;
function placeTip() {
  if (!tipped?.isConnected) { tip.hidden = true; return; }
  const box = tipped.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const middle = box.left + box.width / 2 - size.width / 2;
  const above = box.top - size.height - 8;
  tip.style.left = `${Math.min(Math.max(middle, 4), innerWidth - size.width - 4)}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
}
function showTip(event) {
  tipped = event.target.closest?.("[data-tip]");
  tip.hidden = !tipped;
  if (!tipped) return;
  tip.textContent = tipped.dataset.tip;
  (tipped.closest("dialog") ?? document.body).append(tip);
  placeTip();
}
for (const kind of ["pointerover", "focusin", "pointerdown"]) document.addEventListener(kind, showTip);
document.addEventListener("scroll", () => { if (!tip.hidden) placeTip(); }, {capture: true, passive: true});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

// The values of a chart: one stop for the tab key, arrows inside.
for (const chart of document.querySelectorAll("svg.chart")) {
  const marks = [...chart.querySelectorAll("[data-tip]")];
  chart.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    const at = marks.indexOf(event.target);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = marks[at + step];
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// Commands get a button that copies them.
for (const box of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    const code = box.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  box.append(button);
}

// One sound at a time.
document.addEventListener("play", (event) => {
  for (const sound of document.querySelectorAll("audio")) if (sound !== event.target) sound.pause();
}, true);
