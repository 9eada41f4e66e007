"use strict";
// Sorts the table of trials, highlights a trial in every chart, and selects two parameters. The page is complete without it.

const table = document.querySelector("#all-trials");

function valueOf(row, column) {
  const cell = row.cells[column];
  const given = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(given);
  return given === "" || given === "–" ? null : Number.isNaN(number) ? given : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b));
}

function sortBy(column, heading) {
  const isDown = heading.getAttribute("aria-sort") !== "descending" && (heading.classList.contains("n") || heading.hasAttribute("aria-sort"));
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : isDown ? compare(b, a) : compare(a, b)));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  table.tBodies[0].append(...rows.map(([, row]) => row));
  order.textContent = `Sorted by ${heading.textContent.trim()}, ${heading.getAttribute("aria-sort")}.`;
}

const order = document.querySelector("#trials .sorting");
if (table) {
  order.textContent = "Best first. A heading sorts by its column, and again the other way.";
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => sortBy(column, heading));
  });
}

function show(number) {
  for (const one of document.querySelectorAll(".on")) one.classList.remove("on");
  if (number === undefined) return;
  for (const one of document.querySelectorAll(`[data-trial="${Number(number)}"]`)) one.classList.add("on");
}

const trialOf = (event) => event.target.closest?.("[data-trial]")?.dataset.trial;
for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, (event) => show(trialOf(event)));

const chart = document.querySelector("#surface");

function svgText(words, x, y, anchor, kind) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "text");
  made.textContent = words;
  for (const [name, value] of Object.entries({ x, y, "text-anchor": anchor, class: kind ?? "" })) made.setAttribute(name, value);
  return made;
}

function drawTicks(group, x, y, { left, top, side, height }) {
  const many = x.marks.length > 4;
  group.replaceChildren(
    ...x.marks.map(([at, word], i) => svgText(word, left + at * side, top + side + 13 + (many && i % 2 ? 11 : 0), "middle")),
    ...y.marks.map(([at, word]) => svgText(word, left - 5, top + (1 - at) * side + 4, "end")),
    svgText(x.name, left + side, height - 4, "end", "name"),
    svgText(y.name, left + 4, top + 12, "start", "name halo"),
  );
}

function transposed(grid, n) {
  return [...grid].map((_, i) => grid[(i % n) * n + Math.floor(i / n)]).join("");
}

function drawSurface(data, x, y) {
  const { left, top, side, cells: n } = data.square;
  const status = chart.querySelector(".status");
  const stored = data.grids[`${Math.min(x, y)},${Math.max(x, y)}`];
  const blank = ".".repeat(n * n);
  const grid = stored === undefined ? blank : x < y ? stored : transposed(stored, n);
  status.textContent = x === y ? "Choose two different parameters." : stored === undefined ? "Too few trials have both." : "";
  chart.querySelectorAll(".cells rect").forEach((cell, i) => {
    cell.setAttribute("class", grid[i] === "." ? "blank" : `cell l${grid[i]}`);
  });
  chart.querySelectorAll("circle").forEach((dot, i) => {
    const [across, up] = [data.places[i][x], data.places[i][y]];
    dot.setAttribute("visibility", across === null || up === null ? "hidden" : "visible");
    dot.setAttribute("cx", left + (across ?? 0) * side);
    dot.setAttribute("cy", top + (1 - (up ?? 0)) * side);
  });
  drawTicks(chart.querySelector(".ticks"), data.columns[x], data.columns[y], data.square);
  chart.querySelector("svg").setAttribute("aria-label", `Score over ${data.columns[x].name} and ${data.columns[y].name}`);
}

if (chart) {
  const data = JSON.parse(chart.dataset.surface);
  const choice = chart.querySelector(".choice");
  const [across, upwards] = ["across", "upwards"].map((name, side) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.name = name;
    select.append(...data.columns.map((column, i) => new Option(column.name, i, false, i === data.first[side])));
    label.append(`${name} `, select);
    choice.insertBefore(label, choice.querySelector(".status"));
    return select;
  });
  const redraw = () => drawSurface(data, Number(across.value), Number(upwards.value));
  across.addEventListener("change", redraw);
  upwards.addEventListener("change", redraw);
  choice.hidden = false;
}
