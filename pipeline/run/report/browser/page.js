"use strict";
// Draws the figures of a report, and the tables of the output that is chosen.
const DATA = JSON.parse(document.getElementById("data").textContent);
const PLOT_OPTIONS = { displayModeBar: false, responsive: true, scrollZoom: false };
const PAPER_WIDTH = 680; // pixels: what a sheet of A4 or Letter has between its margins
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
let onPaper = false;

function chosen(id) {
  const picker = document.getElementById(id);
  return picker ? Number(picker.value) : 0;
}

// What is said of the chosen output, over the rows of the chosen group.
function chosenRecord() {
  const output = chosen("output");
  const group = chosen("group");
  return group ? DATA.groups[group - 1].records[output] : DATA.records[output];
}

function draw(place, redrawn = false) {
  const palette = DATA.palettes[DARK.matches && !onPaper ? "dark" : "light"];
  const record = { ...DATA.shared, ...(place.dataset.scope === "output" ? chosenRecord() : {}) };
  const name = place.dataset.figure;
  const figure = filled(DATA.figures[name], record, palette);
  const absent = place.nextElementSibling;
  place.hidden = figure.data.length === 0; // first: what is hidden has no width to draw in
  absent.hidden = !place.hidden;
  const caption = absent.nextElementSibling.querySelector(".caption");
  caption.hidden = place.hidden;
  if (place.hidden) {
    const why = DATA.not_kept[name] ?? "The run computed or kept nothing that this could show.";
    const whole = { ...DATA.shared, ...DATA.records[chosen("output")] };
    const keptOfAll = record.group !== undefined && filled(DATA.figures[name], whole, palette).data.length;
    absent.textContent = keptOfAll ? "This is kept of all rows together, not by group." : why;
    return;
  }
  // What makes room anew as the window changes takes the height from the element.
  place.style.height = `${figure.layout.height}px`;
  if (onPaper) figure.layout.width = PAPER_WIDTH;
  // Anew where the width changes by much: margins are else those for the former one.
  const plot = redrawn ? Plotly.newPlot : Plotly.react;
  plot(place, figure.data, figure.layout, PLOT_OPTIONS);
}

function drawAll() {
  for (const place of document.querySelectorAll(".plot")) draw(place, true);
}

// Figure by figure, so that the page can be read and used before the last of them stands there.
function drawSoon(places) {
  if (places.length === 0) {
    document.documentElement.dataset.drawn = "yes";
    return;
  }
  draw(places[0]);
  setTimeout(() => drawSoon(places.slice(1)));
}

function shortNumber(value) {
  return value === null || value === undefined ? "–" : String(Number(value.toPrecision(4)));
}

function cell(kind, text, number) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (kind === "th") element.scope = "col";
  if (number) element.className = "number";
  return element;
}

// `columns`: [title, whether it is a number, row => text].
function showTable(id, columns, rows) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const [title, number] of columns) head.append(cell("th", title, number));
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, number, text] of columns) line.append(cell("td", text(row), number));
  }
  document.getElementById(id).replaceChildren(table);
}

const STATISTICS = [
  ["root_mean_square", "root mean square"], ["mean", "mean"], ["deviation", "deviation"],
  ["minimum", "minimum"], ["q05", "5%"], ["q50", "50%"], ["q95", "95%"], ["maximum", "maximum"],
  ["positive", "share > 0"], ["negative", "share < 0"],
];

function showNumbers(record, quantity) {
  const numbers = record[quantity];
  const kept = STATISTICS.filter(([key]) => numbers && numbers[key]);
  const columns = [
    ["input", false, (at) => DATA.inputs[record.inputs[at]]],
    ...(numbers ? [["rows", true, (at) => (numbers.count[at] ?? 0).toLocaleString("en")]] : []),
    ...kept.map(([key, title]) => [title, true, (at) => shortNumber(numbers[key][at])]),
  ];
  if (numbers) {
    const error = (at) => (numbers.count[at] ? numbers.deviation[at] / Math.sqrt(numbers.count[at]) : null);
    columns.splice(4, 0, ["± standard error", true, (at) => shortNumber(error(at))]);
  }
  showTable(`${quantity}-numbers`, columns, numbers ? record.positions : []);
}

function showInputs(record) {
  const columns = [
    ["input", false, (at) => DATA.inputs[record.inputs[at]]],
    ["deviation s", true, (at) => shortNumber(record.deviation[at])],
  ];
  for (const kind of ["uniform", "normal"]) {
    const bounds = record[`total_index_bound_${kind}`];
    if (bounds) columns.push([`bound for a ${kind} input`, true, (at) => shortNumber(bounds[at])]);
  }
  showTable("input-numbers", columns, record.positions);
}

const QUANTITY_NAMES = { value: "value", jacobian: "J", hessian_diag: "D", laplacian: "Laplacian" };

function showExtremes(record) {
  const place = document.getElementById("extremes");
  if (!place) return;
  const points = record.inputs.slice(0, 8);
  const columns = [
    ["what", false, (row) => `${row.extreme} ${QUANTITY_NAMES[row.quantity] ?? row.quantity}`],
    ["by input", false, (row) => (row.input === null ? "" : DATA.inputs[row.input])],
    ["is", true, (row) => shortNumber(row.value)],
    ["row", true, (row) => String(row.row)],
    ["file", false, (row) => row.file],
    ...DATA.columns.map((name, at) => [name, false, (row) => row.columns[at] ?? ""]),
    ...points.map((input, at) => [DATA.inputs[input], true, (row) => shortNumber(row.point[at])]),
  ];
  showTable("extremes", columns, record.extremes ?? []);
}

// What the figures say, for whoever does not see them.
function describe(record) {
  const strongest = (quantity, power) => record.inputs.slice(0, 5).map((input, at) => {
    const rms = record[quantity].root_mean_square[at];
    return `${DATA.inputs[input]} ${shortNumber(rms === null ? null : rms * record.deviation[at] ** power)}`;
  }).join(", ");
  const say = (figure, text) => {
    document.querySelector(`#${figure} .reading`).textContent = text ? ` ${text}` : "";
  };
  const more = record.inputs.length > 5 ? ` and ${record.inputs.length - 5} more, in the table below` : "";
  say("sensitivity", record.jacobian ? `Here: ${strongest("jacobian", 1)}${more}.` : "");
  say("second_order", record.hessian_diag ? `Here, D s²: ${strongest("hessian_diag", 2)}${more}.` : "");
  say("convexity", record.hessian_diag ? "Convex: " + record.inputs.slice(0, 5).map((input, at) =>
    `${DATA.inputs[input]} ${shortNumber(100 * record.hessian_diag.positive[at])}%`).join(", ") + more + "." : "");
  const value = record.value;
  say("distribution", value ? `Here: mean ${shortNumber(value.mean)}, deviation ${shortNumber(value.deviation)}, ` +
    `from ${shortNumber(value.minimum)} to ${shortNumber(value.maximum)}.` : "");
}

// The tables and texts of the chosen output.
function tell() {
  const record = chosenRecord();
  const group = document.getElementById("group");
  const picker = document.getElementById("output");
  const rows = group ? `, ${group.selectedOptions[0].textContent}` : "";
  document.getElementById("chosen").textContent = picker.selectedOptions[0].textContent + rows;
  describe(record);
  showNumbers(record, "jacobian");
  showNumbers(record, "hessian_diag");
  const whole = DATA.records[chosen("output")]; // what is kept of all rows together
  showInputs(whole);
  showExtremes(whole);
}

function choose() {
  tell();
  for (const place of document.querySelectorAll('.plot[data-scope="output"]')) draw(place);
}

for (const id of ["output", "group"]) document.getElementById(id)?.addEventListener("change", choose);
DARK.addEventListener("change", drawAll);
window.addEventListener("beforeprint", () => { onPaper = true; drawAll(); });
window.addEventListener("afterprint", () => { onPaper = false; drawAll(); });
if (DATA.records.length) tell();
setTimeout(() => drawSoon([...document.querySelectorAll(".plot")]));
