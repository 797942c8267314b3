// Clips of a confusion, or of missed and falsely found sounds.
const found = JSON.parse(document.getElementById("cells").textContent);
const dialog = document.getElementById("clips-of");

function titleOf(level, key) {
  const labels = level.labels;
  if (level.multi) return `${key % 2 ? "False alarms" : "Missed"}: ${labels[Math.floor(key / 2)]}`;
  const truth = labels[Math.floor(key / labels.length)], predicted = labels[key % labels.length];
  return truth === predicted ? `${truth}, recognised` : `${truth} taken for ${predicted}`;
}

function openCell(name, key) {
  const level = found.levels[name];
  if (!level) return;
  const clips = level.cells[key] ?? [];
  dialog.querySelector("h2").textContent = titleOf(level, key);
  const cards = dialog.querySelector(".clips"), list = dialog.querySelector("ol");
  cards.replaceChildren();
  list.replaceChildren();
  for (const clip of clips) {
    const card = document.getElementById(`clip-${clip}`);
    if (card) {
      const copy = card.cloneNode(true);
      copy.removeAttribute("id");
      if (card.dataset.level !== name || Number(card.dataset.cell) !== key) {
        // The card is about another mistake on this clip: only what is seen and played stays.
        copy.querySelectorAll("h3, .odds, .toggle, .explained, .chip, .importance").forEach((part) => part.remove());
      }
      cards.append(copy);
    } else {
      const item = document.createElement("li");
      item.textContent = found.names[clip];
      list.append(item);
    }
  }
  const limit = dialog.querySelector(".limit"), total = level.totals[key];
  limit.hidden = !total;
  limit.textContent = `The first ${clips.length} of ${total}.`;
  dialog.querySelector(".rest").hidden = !list.children.length;
  dialog.showModal();
  dialog.scrollTop = 0;
}
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => dialog.querySelectorAll("audio").forEach((sound) => sound.pause()));

// The matrix: one stop for the tab key, arrows inside.
for (const matrix of document.querySelectorAll(".matrix")) {
  const rows = [...matrix.tBodies[0].rows], heads = matrix.tHead.rows[0].cells;
  const level = found.levels[matrix.dataset.level];
  const names = (cell) => [cell.parentElement.cells[0].dataset.name, heads[cell.cellIndex].dataset.name];
  const describe = (cell) => {
    if (cell.dataset.tip) return;
    const [truth, predicted] = names(cell);
    const total = [...cell.parentElement.cells].reduce((sum, one) => sum + (one === cell.parentElement.cells[0] ? 0 : Number(one.textContent)), 0);
    const count = Number(cell.textContent);
    const share = total ? ` (${Math.round(100 * count / total)} %)` : "";
    cell.dataset.tip = truth === predicted
      ? `${truth}: ${count} of ${total} recognised${share}`
      : `${truth} taken for ${predicted}: ${count} of ${total}${share}`;
    cell.setAttribute("aria-label", cell.dataset.tip);
  };
  const mark = (cell, on) => {
    cell.parentElement.cells[0].classList.toggle("on", on);
    heads[cell.cellIndex].classList.toggle("on", on);
  };
  const cellOf = (event) => event.target.closest("td:not(.corner)");
  for (const [kind, on] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]]) {
    matrix.addEventListener(kind, (event) => {
      const cell = cellOf(event);
      if (cell) { describe(cell); mark(cell, on); }
    }, true);
  }
  let current = matrix.querySelector("td.wrong") ?? matrix.querySelector("td.right");
  if (current) current.tabIndex = 0;
  const go = (cell) => {
    if (!cell) return;
    describe(cell);
    current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
    cell.focus();
  };
  const step = (cell, down, right) => {
    let row = rows.indexOf(cell.parentElement), column = cell.cellIndex;
    do {
      row += down; column += right;
      cell = column > 0 ? rows[row]?.cells[column] : undefined;
    } while (cell && !cell.getClientRects().length);
    go(cell);
  };
  matrix.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
    if (!cell) return;
    if (event.key in moves) { event.preventDefault(); step(cell, ...moves[event.key]); }
    if ((event.key === "Enter" || event.key === " ") && cell.dataset.c) {
      event.preventDefault();
      openCell(matrix.dataset.level, Number(cell.dataset.c));
    }
  });
  matrix.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell?.dataset.c && level) openCell(matrix.dataset.level, Number(cell.dataset.c));
  });

  // Classes without any mistake can be hidden.
  const box = document.getElementById(`only-wrong-${matrix.dataset.level}`);
  const wrong = new Set();
  rows.forEach((row, r) => [...row.cells].forEach((cell, c) => {
    if (cell.classList.contains("wrong")) { wrong.add(r + 1); wrong.add(c); }
  }));
  rows.forEach((row, r) => [...row.cells].forEach((cell, c) => {
    if (!wrong.has(r + 1) || (c > 0 && !wrong.has(c))) cell.classList.add("calm");
  }));
  [...heads].forEach((head, c) => { if (c > 0 && !wrong.has(c)) head.classList.add("calm"); });
  if (box) {
    box.closest("label").hidden = wrong.size === 0 || rows.length - wrong.size < 3;
    box.addEventListener("change", () => matrix.classList.toggle("only-wrong", box.checked));
  }
}

document.addEventListener("click", (event) => {
  const open = event.target.closest("[data-open]");
  if (open) openCell(open.dataset.level, Number(open.dataset.open));
  const toggle = event.target.closest(".clip .toggle");
  if (toggle) showImportance(toggle, toggle.getAttribute("aria-pressed") !== "true");
  if (event.target.closest("#all-importance")) {
    const all = event.target.closest("#all-importance");
    const on = all.getAttribute("aria-pressed") !== "true";
    all.setAttribute("aria-pressed", on);
    document.querySelectorAll(".clip .toggle").forEach((one) => showImportance(one, on));
  }
  const play = event.target.closest("button.play");
  if (play) {
    const sound = play.nextElementSibling;
    if (sound.paused) { sound.currentTime = 0; sound.play(); } else sound.pause();
  }
});

function showImportance(toggle, on) {
  const card = toggle.closest(".clip");
  toggle.setAttribute("aria-pressed", on);
  card.querySelector(".picture").classList.toggle("on", on);
  card.querySelector(".importance").hidden = !on;
  const text = card.querySelector(".explained");
  if (text) text.hidden = !on;
}

// Play buttons show their state; a line moves over the spectrogram.
for (const kind of ["play", "pause", "ended"]) {
  document.addEventListener(kind, (event) => {
    const button = event.target.previousElementSibling;
    if (button?.matches?.("button.play")) button.textContent = kind === "play" ? "\u25A0" : "\u25B6";
    if (kind === "play" && event.target.closest(".clip")) follow(event.target);
  }, true);
}
function follow(sound) {
  const cursor = sound.closest(".clip").querySelector(".cursor");
  cursor.hidden = false;
  cursor.style.left = `${Math.min(100 * sound.currentTime / Number(cursor.dataset.seconds), 100)}%`;
  if (!sound.paused && !sound.ended) requestAnimationFrame(() => follow(sound));
}
