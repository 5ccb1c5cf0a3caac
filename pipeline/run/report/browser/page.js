"use strict";
// Draws the figures of a report.
const PLOT_OPTIONS = { displayModeBar: false, responsive: true, scrollZoom: false };
const PAPER_WIDTH = 680; // pixels: what a sheet of A4 or Letter has between its margins
const NEAR = "300px"; // what is so near to the window is drawn before it is seen
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
const PLACES = [...document.querySelectorAll(".plot")];
const undrawn = new Set(PLACES);
const near = new Set();
let onPaper = false;

function recordOf(place) {
  const records = { all: () => ({}), output: chosenRecord, groups: () => DATA.records[chosen("output")] };
  return { ...DATA.shared, ...records[place.dataset.scope]() };
}

// Makes room for a figure, or says why there is none; returns the figure.
function prepared(place) {
  const palette = DATA.palettes[DARK.matches && !onPaper ? "dark" : "light"];
  const record = recordOf(place);
  const name = place.dataset.figure;
  const templates = place.dataset.scope === "output" && chosen("group") ? DATA.group_figures : DATA.figures;
  const figure = filled(templates[name], record, palette);
  const absent = place.nextElementSibling;
  place.hidden = figure.data.length === 0; // first: what is hidden has no width to draw in
  absent.hidden = !place.hidden;
  // What it says is of all rows: under the name of a group it would be taken for that of its rows.
  for (const said of absent.nextElementSibling.children) said.hidden = place.hidden;
  if (place.hidden) {
    const whole = { ...DATA.shared, ...DATA.records[chosen("output")] };
    const keptOfAll = chosen("group") && filled(DATA.figures[name], whole, palette).data.length;
    const ofGroup = DATA.less_of_groups
      ? `This is kept of all rows together, not by group: ${DATA.less_of_groups}.`
      : "The rows of this group are too few for this, or all of it is zero.";
    absent.textContent = record.absent?.[name] ?? (keptOfAll ? ofGroup : DATA.not_kept[name]
      ?? "The run computed or kept nothing that this could show, or all of it is zero.");
    return null;
  }
  // What makes room anew as the window changes takes the height from the element.
  place.style.height = `${figure.layout.height}px`;
  return figure;
}

// Runs the library, which stands in the page as text.
function loadLibrary() {
  if (window.Plotly) return;
  const script = document.createElement("script");
  script.textContent = document.getElementById("library").textContent;
  document.body.append(script); // is run at once
}

function draw(place, redrawn = false) {
  loadLibrary();
  undrawn.delete(place);
  const figure = prepared(place);
  if (!figure) return;
  if (onPaper) figure.layout.width = PAPER_WIDTH;
  // Anew where the width changes by much: margins are else those for the former one.
  const plot = redrawn ? Plotly.newPlot : Plotly.react;
  plot(place, figure.data, figure.layout, PLOT_OPTIONS);
}

function drawAll() {
  for (const place of PLACES) draw(place, true);
  drawSoon();
}

// What is near the window first, one figure at a time, so that the page can be read and used
// meanwhile; the others when there is nothing else to do.
const whenIdle = window.requestIdleCallback ?? ((step) => setTimeout(step, 50));
const planned = { near: false, idle: false };
const nextNear = () => PLACES.find((place) => undrawn.has(place) && near.has(place));
function drawSoon() {
  const next = nextNear();
  document.documentElement.dataset.drawn = undrawn.size === 0 ? "yes" : next ? "texts" : "window";
  if (undrawn.size === 0) return;
  const kind = next ? "near" : "idle";
  if (planned[kind]) return;
  planned[kind] = true;
  const step = () => {
    planned[kind] = false;
    const place = nextNear() ?? [...undrawn][0];
    if (place) draw(place);
    drawSoon();
  };
  if (next) setTimeout(step);
  else whenIdle(step, { timeout: 2000 });
}

function choose() {
  tell();
  for (const place of PLACES) {
    if (place.dataset.scope === "all") continue;
    prepared(place);
    undrawn.add(place);
  }
  drawSoon();
}

for (const id of ["output", "group"]) document.getElementById(id)?.addEventListener("change", choose);
document.getElementById("curves")?.addEventListener("toggle", showCurves);
DARK.addEventListener("change", drawAll);
window.addEventListener("beforeprint", () => { onPaper = true; drawAll(); });
window.addEventListener("afterprint", () => { onPaper = false; drawAll(); });
if (DATA.records.length) tell();
for (const place of PLACES) prepared(place);
document.documentElement.dataset.drawn = "texts";
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.isIntersecting ? near.add(entry.target) : near.delete(entry.target);
  drawSoon();
}, { rootMargin: NEAR });
// After the frame in which texts and tables are seen.
requestAnimationFrame(() => setTimeout(() => {
  for (const place of PLACES) observer.observe(place);
  if (PLACES.length === 0) drawSoon();
}));
