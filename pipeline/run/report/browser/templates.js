"use strict";
// The same as templates.py: a figure from its template, a record and a palette.
const MISSING = Symbol("missing");
const OPERATIONS = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => (b ? a / b : NaN),
  min: Math.min,
  above: (a, b) => (a > b ? a : NaN),
};

function filled(template, record, palette) {
  return {
    data: template.data
      .map((trace) => fill(trace, record, palette, true))
      .filter((trace) => trace !== MISSING)
      .map(completed),
    layout: fill(template.layout, record, palette, false),
  };
}

// Without the places where any of the lists under "complete" is null.
function completed({ complete = [], ...trace }) {
  const isWhole = (_, at) => complete.every((key) => trace[key][at] !== null);
  const shorter = complete.map((key) => [key, trace[key].filter(isWhole)]);
  return { ...trace, ...Object.fromEntries(shorter) };
}

// `whole`: missing as soon as something in it is.
function fill(part, record, palette, whole) {
  if (Array.isArray(part)) {
    const items = part.map((each) => fill(each, record, palette, whole));
    return items.includes(MISSING) ? MISSING : items;
  }
  if (part !== null && typeof part === "object") {
    const entries = Object.entries(part).map(([key, each]) => [key, fill(each, record, palette, whole)]);
    const needed = entries.filter(([key]) => !(typeof part[key] === "string" && part[key].startsWith("?")));
    if (whole && needed.some(([, each]) => each === MISSING)) return MISSING;
    return Object.fromEntries(entries.filter(([, each]) => each !== MISSING));
  }
  if (typeof part === "string" && /^[@?]/.test(part)) {
    const value = evaluated(part.slice(1).split(" "), record);
    return saysNothing(value) ? MISSING : value;
  }
  if (typeof part === "string" && part.startsWith("$")) return palette[part.slice(1)];
  return part;
}

function saysNothing(value) {
  return Array.isArray(value) && value.every((each) => each === null || saysNothing(each));
}

function evaluated(words, record) {
  let result = operand(words[0], record);
  for (let at = 1; at < words.length; at += 2) {
    const other = operand(words[at + 1], record);
    if (result === MISSING || other === MISSING) return MISSING;
    result = combined(OPERATIONS[words[at]], result, other);
  }
  return result;
}

function operand(word, record) {
  if (/^\d/.test(word)) return Number(word);
  let value = record;
  for (const key of word.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return MISSING;
    value = value[key];
  }
  return value;
}

function combined(operation, left, right) {
  if (Array.isArray(left) || Array.isArray(right)) {
    const length = Array.isArray(left) ? left.length : right.length;
    const entry = (side, at) => (Array.isArray(side) ? side[at] : side);
    return Array.from({ length }, (_, at) => combined(operation, entry(left, at), entry(right, at)));
  }
  if (left === null || right === null) return null;
  const result = operation(left, right);
  return Number.isNaN(result) ? null : result;
}
