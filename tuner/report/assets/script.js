"use strict";
// Sorts the table of trials, draws the charts with Plotly, and links them. Texts and tables are complete without it.

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
  table.tBodies[0].addEventListener("click", (event) => choose([Number(event.target.closest("tr").dataset.trial)]));
}

const BUTTONS = [["zoom2d", "select2d", "lasso2d", "resetScale2d", "toImage"]];
const CONFIG = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons: BUTTONS };
const [template, texts] = ["#template", "#trial-texts"].map((id) => JSON.parse(document.querySelector(id).textContent));
const figures = [...document.querySelectorAll(".plot")];
const hidden = new Set();
let trials = [];

function draw(figure) {
  if (figure.data) return;
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  for (const trace of data) {
    if (trace.customdata) trace.hovertext = trace.customdata.map((number) => texts[number] ?? `training ${number}`);
    if (hidden.has(trace.name)) trace.visible = "legendonly";
  }
  if (innerWidth < 640) layout.dragmode = false; // a finger scrolls
  Plotly.newPlot(figure, data, { ...layout, template, height: Number(figure.dataset.height) }, CONFIG);
  for (const svg of document.querySelectorAll("svg")) svg.setAttribute("aria-hidden", "true"); // the figures have the names
  mark(figure);
  figure.on("plotly_click", ({ points }) => choose(points.map((point) => point.customdata)));
  figure.on("plotly_selected", (event) => choose((event?.points ?? []).map((point) => point.customdata)));
  figure.on("plotly_deselect", () => choose([]));
  figure.on("plotly_legendclick", ({ curveNumber }) => toggle(figure.data[curveNumber].name));
}

// Highlights the chosen trials: marks by Plotly's own selection, lines by a bold copy.
function mark(figure) {
  const indices = [...figure.data.keys()];
  const marks = indices.filter((i) => figure.data[i].customdata && figure.data[i].mode !== "lines");
  const chosen = ({ customdata }) => customdata.flatMap((number, at) => (trials.includes(number) ? [at] : []));
  if (marks.length) Plotly.restyle(figure, { selectedpoints: marks.map((i) => (trials.length ? chosen(figure.data[i]) : null)) }, marks);
  const copies = indices.filter((i) => figure.data[i].meta === "chosen");
  const lines = figure.data.filter((trace) => trace.customdata && trace.mode === "lines");
  const along = (axis) => [lines.flatMap((line) => chosen(line).flatMap((at) => [line[axis][at], ...(line[axis][at + 1] === null ? [null] : [])]))];
  if (copies.length) Plotly.restyle(figure, { x: along("x"), y: along("y") }, copies);
}

function choose(numbers) {
  trials = numbers;
  figures.filter((figure) => figure.data).forEach(mark);
  for (const row of table?.tBodies[0].rows ?? []) row.classList.toggle("on", trials.includes(Number(row.dataset.trial)));
}

// Hides or shows what a legend names in every chart.
function toggle(name) {
  const visible = hidden.delete(name) || (hidden.add(name), "legendonly");
  for (const figure of figures.filter((one) => one.data)) {
    const named = [...figure.data.keys()].filter((i) => figure.data[i].name === name);
    if (named.length) Plotly.restyle(figure, { visible }, named);
  }
  return false; // instead of Plotly's own toggle
}

const nearby = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting).forEach((one) => draw(one.target)), { rootMargin: "600px" });
for (const figure of figures) {
  figure.style.height = `${figure.dataset.height}px`;
  nearby.observe(figure);
}
addEventListener("beforeprint", () => {
  for (const figure of figures) {
    draw(figure);
    Plotly.relayout(figure, { width: figure.parentElement.children.length > 1 ? 330 : 690 });
  }
});
addEventListener("afterprint", () => figures.forEach((figure) => Plotly.relayout(figure, { width: null, autosize: true })));
