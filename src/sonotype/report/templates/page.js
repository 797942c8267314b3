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
function showTip(event) {
  const element = event.target.closest?.("[data-tip]");
  if (!element) { tip.hidden = true; return; }
  tip.textContent = element.dataset.tip;
  tip.hidden = false;
  (element.closest("dialog") ?? document.body).append(tip);
  const box = element.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(box.left + box.width / 2 - size.width / 2, 4), innerWidth - size.width - 4);
  const above = box.top - size.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
}
document.addEventListener("pointerover", showTip);
document.addEventListener("focusin", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("scroll", () => { tip.hidden = true; }, {capture: true, passive: true});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

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
