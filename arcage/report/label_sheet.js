// The page contains the sheet as JSON. File names are only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const sheet = JSON.parse($("sheet").textContent);
$("sheet").remove();
const at = Object.fromEntries(sheet.columns.map((name, i) => [name, i]));
let saved = true;

// Names may contain characters that change the direction of text.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const visible = (text) => text.replace(HIDDEN, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function hint(cells) {
  const cell = (name) => cells[at[name]];
  const age = cell("suggested_age") && `${cell("suggested_age")} years (${cell("suggested_low")} to ${cell("suggested_high")})`;
  return [age, cell("suggested_gender")].filter(Boolean).join(", ");
}

function card({ cells, thumbnail }, number) {
  const name = cells[at.path];
  const face = Number(cells[at.faces]) > 1 ? `, face ${cells[at.face]} of ${cells[at.faces]}` : "";
  const picture = thumbnail
    ? make("img", { src: `data:image/jpeg;base64,${thumbnail}`, alt: "" })
    : make("div", { className: "none", textContent: "no picture" });
  const age = make("input", { type: "number", min: 0, max: 120, step: "any", inputMode: "decimal" });
  const gender = make("select", {}, ...["", "female", "male"].map((value) => make("option", { value, textContent: value })));
  const box = make("fieldset", {}, picture,
    make("label", {}, "Age", age), make("label", {}, "Gender", gender),
    make("div", { className: "hint note", textContent: hint(cells) }),
    make("div", { className: "file", textContent: `${number + 1}: ${visible(name)}${face}` }));
  age.setAttribute("aria-label", `Age of face ${number + 1}`);
  gender.setAttribute("aria-label", `Gender of face ${number + 1}`);
  const read = () => {
    cells[at.age] = age.validity.valid ? age.value : "";
    cells[at.gender] = gender.value;
    box.classList.toggle("filled", Boolean(cells[at.age] || cells[at.gender]));
    saved = false;
    count();
  };
  age.addEventListener("input", read);
  gender.addEventListener("change", read);
  return box;
}

function count() {
  const filled = sheet.rows.filter(({ cells }) => cells[at.age] || cells[at.gender]).length;
  $("done").textContent = `${filled} of ${sheet.rows.length} faces have a label${saved ? "" : ", not saved yet"}`;
}

const quoted = (cell) => (/[",;\t\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

$("faces").append(...sheet.rows.map(card));
$("faces").addEventListener("submit", (event) => event.preventDefault());
$("hints").addEventListener("change", () => {
  for (const element of document.querySelectorAll(".hint")) element.hidden = !$("hints").checked;
});
$("save").addEventListener("click", () => {
  const lines = [sheet.columns, ...sheet.rows.map(({ cells }) => cells)].map((cells) => cells.map(quoted).join(","));
  const url = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  make("a", { href: url, download: sheet.name }).click();
  URL.revokeObjectURL(url);
  saved = true;
  count();
});
window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
count();
