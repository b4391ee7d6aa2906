// The page contains the rows as JSON. File names and errors are only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const PER_PAGE = 100;
const rows = JSON.parse($("rows").textContent);
$("rows").remove();
let shown = rows;      // rows that match the filters, in the order of the table
let page = 0;
let key = "order", up = true;

// Rounded to tenths like the rows: in binary, 49.1 - 29.1 is more than 20.
const width = (row) => (row.age_low === null ? null : Math.round(10 * (row.age_high - row.age_low)) / 10);
const confidence = (row) => (row.p_female === null ? null : Math.max(row.p_female, 1 - row.p_female));
const KEYS = {
  order: (row) => row.order,
  age: (row) => row.age,
  width,
  gender: (row) => row.gender,
  confidence,
  score: (row) => row.det_score,
  path: (row) => row.path,
};
const STATUS = ["ok", "no_face", "unreadable"];
rows.forEach((row, order) => { row.order = order; });
const oldest = rows.reduce((most, row) => Math.max(most, row.age_high ?? 0), 0);
const AXIS = Math.max(80, 20 * Math.ceil(oldest / 20));  // years at the end of the axis

// Names may contain characters that change the direction of text, or move the cursor after they are copied.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const visible = (text) => text.replace(HIDDEN, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;
const count = (n) => n.toLocaleString("en");

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Filters and order -----------------------------------------------------------------------------------

function filter() {
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  const [status, gender, name] = [$("status").value, $("gender").value, $("name").value.toLowerCase()];
  const [from, to] = [number("from"), number("to")];
  // A slider at its end does not filter.
  const maximum = number("width") < Number($("width").max) ? number("width") : null;
  const minimum = number("confidence") > 50 ? 100 * number("confidence") : null;
  const score = number("score") > 50 ? 10 * number("score") : null;
  return (row) => {
    if (status && row.status !== status) return false;
    if (name && !row.path.toLowerCase().includes(name)) return false;
    if (row.status !== "ok") return !(gender || from !== null || to !== null || maximum || minimum || score);
    return (!gender || (row.gender ?? "none") === gender)
      && (from === null || (row.age !== null && row.age >= from))
      && (to === null || (row.age !== null && row.age <= to))
      && (maximum === null || (width(row) !== null && width(row) <= maximum))
      && (minimum === null || (confidence(row) !== null && Math.round(10000 * confidence(row)) >= minimum))
      && (score === null || Math.round(1000 * row.det_score) >= score);
  };
}

function compare(a, b) {
  const [x, y] = [KEYS[key](a), KEYS[key](b)];
  // Rows without a value come last in both directions, ordered by status.
  const status = (row) => STATUS.indexOf(row.status);
  if (x === null || y === null) return (x === null) - (y === null) || status(a) - status(b) || a.order - b.order;
  return (up ? 1 : -1) * (x < y ? -1 : x > y ? 1 : 0) || a.order - b.order;
}

function update() {
  $("width-value").textContent = $("width").value === $("width").max ? "any" : `${$("width").value} years`;
  $("confidence-value").textContent = $("confidence").value === "50" ? "any" : `${$("confidence").value} %`;
  $("score-value").textContent = $("score").value === "50" ? "any" : ($("score").value / 100).toFixed(2);
  shown = rows.filter(filter()).sort(compare);
  for (const button of document.querySelectorAll("#faces thead button")) {
    if (button.dataset.key === key) button.parentElement.ariaSort = up ? "ascending" : "descending";
    else button.parentElement.removeAttribute("aria-sort");
  }
  drawHistograms();
  turn(0);
}

// The table -------------------------------------------------------------------------------------------

function turn(to) {
  const last = Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
  page = Math.min(last, Math.max(0, to));
  const part = shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  document.querySelector("#faces tbody").replaceChildren(...part.map(drawRow));
  $("nothing").hidden = shown.length > 0;
  $("page").value = page + 1;
  $("page").max = last + 1;
  $("pages").textContent = `of ${count(last + 1)}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === last;
}

function drawRow(row) {
  const bare = row.status === "no_face" ? "no face" : row.status === "unreadable" ? "unreadable" : "no picture";
  const picture = row.thumbnail
    ? make("img", { src: `data:image/jpeg;base64,${row.thumbnail}`, alt: "", width: 72, height: 72 })
    : make("div", { className: "none", textContent: bare });
  const path = make("td", { className: "path" }, make("bdi", { textContent: visible(row.path) }));
  if (row.status !== "ok") {
    const words = row.status === "no_face" ? "No face was found." : `Cannot be read: ${visible(row.error ?? "")}.`;
    return make(
      "tr", { className: "problem" }, make("td", { className: "picture" }, picture),
      make("td", { className: "words", colSpan: 5, textContent: words }), path,
    );
  }
  const notes = [row.faces > 1 && `face #${row.face} of ${row.faces}`, row.unfamiliar && "unlike the training faces"];
  path.append(make("small", { textContent: notes.filter(Boolean).join(", ") }));
  return make(
    "tr", { className: row.age === null ? "low-confidence" : "" },
    make("td", { className: "picture" }, picture),
    make("td", { className: "age", textContent: row.age === null ? "–" : row.age.toFixed(0) }),
    make("td", { className: "range" }, drawInterval(row)),
    make("td", { className: "gender", textContent: row.gender ?? "–" }),
    make("td", { className: "confidence", textContent: row.p_female === null ? "–" : percent(confidence(row)) }),
    make("td", { className: "score", textContent: row.det_score.toFixed(2) }),
    path,
  );
}

function drawInterval(row) {
  if (row.age_low === null) return "–";
  const at = (years) => `${100 * Math.min(1, Math.max(0, years / AXIS))}%`;
  const words = make("span", { textContent: `${row.age_low.toFixed(0)}–${row.age_high.toFixed(0)}` });
  words.style.left = `clamp(1.3rem, ${at((row.age_low + row.age_high) / 2)}, 100% - 1.3rem)`;
  const range = make("i");
  range.style.left = at(row.age_low);
  range.style.right = `calc(100% - ${at(row.age_high)})`;
  const drawn = make("div", { className: "interval" }, range, words);
  if (row.age !== null) {
    const point = make("b");
    point.style.left = at(row.age);
    drawn.append(point);
  }
  return drawn;
}

// Histograms ------------------------------------------------------------------------------------------

const STEP = 5;

function drawHistograms() {
  const faces = shown.filter((row) => row.status === "ok");
  const bins = Object.fromEntries(["female", "male", "none"].map((name) => [name, new Array(AXIS / STEP).fill(0)]));
  let ageless = 0;
  for (const row of faces) {
    if (row.age === null) ageless++;
    else bins[row.gender ?? "none"][Math.min(AXIS / STEP - 1, Math.max(0, Math.floor(row.age / STEP)))]++;
  }
  const highest = Math.max(1, ...Object.values(bins).flat());
  $("histograms").replaceChildren(...Object.entries(bins)
    .filter(([name, heights]) => name !== "none" || heights.some(Boolean))
    .map(([name, heights]) => drawHistogram(name, heights, highest)));
  $("counted").textContent = `Faces that match the filters below: ${count(faces.length)}`
    + `${ageless ? `, of which ${count(ageless)} without an age` : ""}. `
    + `Images without a prediction: ${count(shown.length - faces.length)}.`;
}

function drawHistogram(name, heights, highest) {
  const [wide, high, foot, head] = [360, 130, 18, 14];
  const draw = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    element.textContent = text;
    return element;
  };
  const total = heights.reduce((sum, n) => sum + n, 0);
  const title = `${name === "none" ? "gender hidden" : name}: ${count(total)}`;
  const svg = draw("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img" });
  const x = (years) => 12 + ((wide - 24) * years) / AXIS;
  const parts = heights.flatMap((n, i) => (n ? [`${i * STEP} to ${(i + 1) * STEP}: ${count(n)}`] : []));
  svg.setAttribute("aria-label", `${title}. ${parts.join("; ")}`);
  heights.forEach((n, i) => {
    const tall = ((high - foot - head) * n) / highest;
    const bar = draw("rect", {
      class: name, x: x(i * STEP) + 0.5, width: x(STEP) - x(0) - 1, y: high - foot - tall, height: tall,
    });
    bar.append(draw("title", {}, `${i * STEP} to ${(i + 1) * STEP} years: ${count(n)}`));
    svg.append(bar);
  });
  svg.append(draw("line", { x1: x(0), x2: x(AXIS), y1: high - foot, y2: high - foot }));
  for (let years = 0; years <= AXIS; years += 20) {
    svg.append(draw("text", { x: x(years), y: high - 4, "text-anchor": "middle" }, years));
  }
  const most = heights.indexOf(Math.max(...heights));
  if (total) {
    const y = high - foot - ((high - foot - head) * heights[most]) / highest - 3;
    svg.append(draw("text", { x: x((most + 0.5) * STEP), y, "text-anchor": "middle" }, count(heights[most])));
  }
  return make("figure", {}, make("strong", { textContent: title }), svg);
}

// Events ----------------------------------------------------------------------------------------------

const countOf = (status) => rows.filter((row) => row.status === status).length;
$("tiles").replaceChildren(...[
  ["Images", rows.filter((row) => row.first).length], ["Faces", countOf("ok")], ["Without a face", countOf("no_face")], ["Unreadable", countOf("unreadable")],
].map(([name, n]) => make(
  "div", { className: "tile" }, make("div", { className: "name", textContent: name }),
  make("div", { className: "value", textContent: count(n) }),
)));

let later = 0;
const soon = () => {
  cancelAnimationFrame(later);
  later = requestAnimationFrame(() => { page = 0; update(); });
};
$("filters").oninput = soon;
$("filters").onreset = () => setTimeout(soon);
$("filters").onsubmit = (event) => event.preventDefault();
const goTo = (to) => { turn(to); $("faces").scrollIntoView(); };
$("previous").onclick = () => goTo(page - 1);
$("next").onclick = () => goTo(page + 1);
$("page").onchange = () => goTo(Number($("page").value) - 1);
document.querySelector("#faces thead").onclick = ({ target }) => {
  if (!target.dataset.key) return;
  up = target.dataset.key === key ? !up : true;
  key = target.dataset.key;
  update();
};
update();
