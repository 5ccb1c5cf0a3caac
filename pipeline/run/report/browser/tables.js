"use strict";
// Tables and texts of the output that is chosen.
const DATA = JSON.parse(document.getElementById("data").textContent);

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

// The same, where all is kept of each group; else what is kept of all rows together.
function fullRecord() {
  return DATA.less_of_groups ? DATA.records[chosen("output")] : chosenRecord();
}

// The same as number_text.py.
function shortNumber(value) {
  if (value === null || value === undefined) return "–";
  const rounded = Number(value.toPrecision(4));
  const size = Math.abs(rounded);
  if (size === 0 || (size >= 1e-4 && size < 1e6)) return String(rounded);
  const [digits, power] = rounded.toExponential().split("e");
  return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
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
  ["root_mean_square", "root mean square"], ["root_mean_square_error", "± standard error, at most"],
  ["mean", "mean"], ["mean_error", "± standard error"], ["deviation", "deviation"],
  ["minimum", "minimum"], ["q05", "5% (within 0.8%)"], ["q50", "50% (within 0.8%)"],
  ["q95", "95% (within 0.8%)"], ["maximum", "maximum"],
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
  showTable(`${quantity}-numbers`, columns, numbers ? record.positions : []);
}

// An index is at most 1.
function bound(value) {
  return value !== null && value >= 1 ? `${shortNumber(value)} (≥ 1: says nothing)` : shortNumber(value);
}

function showInputs(record) {
  const columns = [
    ["input", false, (at) => DATA.inputs[record.inputs[at]]],
    ["deviation s", true, (at) => shortNumber(record.deviation[at])],
  ];
  for (const kind of ["uniform", "normal"]) {
    const bounds = record[`total_index_bound_${kind}`];
    if (bounds) columns.push([`bound for a ${kind} input`, true, (at) => bound(bounds[at])]);
  }
  showTable("input-numbers", columns, record.positions);
}

// Groups side by side, over all rows first.
function showGroups() {
  const place = document.getElementById("group-numbers");
  if (!place) return;
  const output = chosen("output");
  const names = [...document.getElementById("group").options].map((option) => option.textContent);
  const records = [DATA.records[output], ...DATA.groups.map((group) => group.records[output])];
  const value = (key) => (at) => shortNumber(records[at].value[key]);
  const columns = [[DATA.grouped_by, false, (at) => names[at]]];
  columns.push(["rows", true, (at) => records[at].rows.toLocaleString("en")]);
  if (records[0].value) {
    columns.push(
      ["mean", true, value("mean")], ["± standard error", true, value("mean_error")],
      ["deviation", true, value("deviation")],
      ["minimum", true, value("minimum")], ["maximum", true, value("maximum")],
    );
  }
  if (records[0].jacobian) {
    records[0].by_group.inputs.forEach((_, at) => columns.push([
      `rms of J s, ${DATA.inputs[records[0].inputs[at]]}`, true, (group) => shortNumber(records[group].beside[at]),
    ]));
  }
  if (records[0].laplacian) {
    for (const [key, title] of [["mean", "mean Laplacian"], ["deviation", "its deviation"]]) {
      columns.push([title, true, (at) => shortNumber(records[at].laplacian[key])]);
    }
  }
  showTable("group-numbers", columns, records.map((_, at) => at));
}

function scaled(number, deviation) {
  return number === null || deviation === null ? null : number * deviation;
}

const CURVES = [
  ["value", "value", 0], ["jacobian", "J s", 1], ["hessian_diag", "D s²", 2],
];
const CURVE_NUMBERS = [["", "mean"], ["_p10", "10%"], ["_median", "median"], ["_p90", "90%"]];

// Many lines: made when they are asked for.
function showCurves() {
  if (!document.getElementById("curves").open) return;
  const { curves } = fullRecord();
  const rows = curves.flatMap((curve) => curve.at.map((_, at) => [curve, at]));
  const columns = [
    ["input", false, ([curve]) => DATA.inputs[curve.input]],
    ["middle of the bin", true, ([curve, at]) => shortNumber(curve.at[at])],
    ["rows of the sample", true, ([curve, at]) => (curve.rows?.[at] ?? 0).toLocaleString("en")],
  ];
  for (const [quantity, title, power] of CURVES) {
    for (const [ending, what] of CURVE_NUMBERS) {
      const name = quantity + ending;
      if (!curves.some((curve) => curve[name])) continue;
      columns.push([`${title}: ${what}`, true, ([curve, at]) =>
        shortNumber(scaled(curve[name]?.[at] ?? null, curve.deviation ** power))]);
    }
  }
  showTable("curve-numbers", columns, rows);
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
  document.getElementById("extremes-of").textContent = record.extremes?.length
    ? "Values first, then J, then D, of each the most extreme first."
    : "None are kept.";
  showTable("extremes", columns, record.extremes ?? []);
}

// What the figures say, for whoever does not see them.
function describe(record) {
  const size = (numbers, at, power) => record.deviation[at] === 0
    ? "does not vary (s = 0)" : shortNumber(scaled(numbers[at], record.deviation[at] ** power));
  const strongest = (quantity, power) => record.inputs.slice(0, 5).map((input, at) =>
    `${DATA.inputs[input]} ${size(record[quantity].root_mean_square, at, power)}`).join(", ");
  const more = record.inputs.length > 5 ? ` and ${record.inputs.length - 5} more` : "";
  say("sensitivity", record.jacobian ? `Here: ${strongest("jacobian", 1)}${more}.` : "");
  say("second_order", record.hessian_diag ? `Here, D s²: ${strongest("hessian_diag", 2)}${more}.` : "");
  say("convexity", record.hessian_diag ? "Convex: " + record.inputs.slice(0, 5).map((input, at) =>
    `${DATA.inputs[input]} ${shortNumber(100 * record.hessian_diag.positive[at])}%`).join(", ") + more + "." : "");
  const value = record.value;
  say("distribution", value ? `Here: mean ${shortNumber(value.mean)}, deviation ${shortNumber(value.deviation)}, ` +
    `from ${shortNumber(value.minimum)} to ${shortNumber(value.maximum)}.` : "");
}

// What the curves say: how far the means reach over the bins of the strongest input.
function describeCurves(record) {
  for (const [quantity, title, power] of CURVES) {
    const sentences = record.curves.slice(0, 3).filter((curve) => curve[quantity]).map((curve) => {
      const known = curve.at.map((at, place) => [at, scaled(curve[quantity][place], curve.deviation ** power)])
        .filter(([, mean]) => mean !== null);
      if (known.length < 2) return "";
      const [low, high] = [-1, 1].map((sign) => known.reduce((a, b) => (sign * (b[1] - a[1]) > 0 ? b : a)));
      const ends = [low[1], high[1]].map(shortNumber);
      if (ends[0] === ends[1]) return `${DATA.inputs[curve.input]}: mean ${title} ${ends[0]} throughout`;
      return `${DATA.inputs[curve.input]}: mean ${title} from ${shortNumber(low[1])} (at ${shortNumber(low[0])}) ` +
        `to ${shortNumber(high[1])} (at ${shortNumber(high[0])})`;
    }).filter(Boolean).join("; ");
    const [first] = record.curves;
    const rows = first?.rows?.reduce((sum, count) => sum + (count ?? 0), 0) ?? 0;
    const sampled = DATA.shared.curve_step > 1 ? `, over ${rows.toLocaleString("en")} rows of the sample` : "";
    say(`${quantity}_curves`, sentences ? `Here${sampled}, by ${sentences}.` : "");
  }
}

function say(figure, text) {
  document.querySelector(`#${figure} .reading`).textContent = text ? ` ${text}` : "";
}

// The tables and texts of the chosen output.
function tell() {
  const record = chosenRecord();
  const group = document.getElementById("group");
  const picker = document.getElementById("output");
  const rows = group ? `, ${group.selectedOptions[0].textContent}` : "";
  document.getElementById("chosen").textContent = picker.selectedOptions[0].textContent + rows;
  document.getElementById("rows").textContent = ` (${record.rows.toLocaleString("en")} rows)`;
  describe(record);
  showNumbers(record, "jacobian");
  showNumbers(record, "hessian_diag");
  for (const note of document.querySelectorAll(".of-all")) {
    note.textContent = DATA.less_of_groups && chosen("group") ? `Of all rows: ${DATA.less_of_groups}.` : "";
  }
  describeCurves(fullRecord());
  showInputs(fullRecord());
  showGroups();
  showCurves();
  showExtremes(fullRecord());
}
