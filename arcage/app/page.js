// Sends photos to the endpoint that docs/guide/server.md describes, and shows the rows that it returns. File names
// and errors are only ever set as text. The sliders filter rows that are already loaded.
"use strict";

const $ = (id) => document.getElementById(id);
const AT_ONCE = 4;

let about = null;          // response of GET /api
let photos = [];           // in the order of the table: {name, batch, rows, body, file, url, width, height, problem}
let batch = 0;             // number of the newest batch of photos, which is first in the table
let shown = null;          // the photo that is displayed
let chosen = null;         // the selected row
let waiting = [];          // photos that are not sent yet
let requested = 0, finished = 0, running = 0;
let stopping = new AbortController();

// Confidence ------------------------------------------------------------------------------------------

function confidentAge(row) {
  const maximum = Number($("width").value);
  const any = maximum === Number($("width").max);
  // Rounded to tenths like the rows: in binary, 49.1 - 29.1 is more than 20.
  return any || row.age === null || Math.round(10 * (row.age_high - row.age_low)) <= 10 * maximum ? row.age : null;
}

function confidentGender(row) {
  if (row.gender === null) return null;
  return Math.max(row.p_female, 1 - row.p_female) + 1e-9 >= $("confidence").value / 100 ? row.gender : null;
}

const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;

function words(row) {
  const age = confidentAge(row), gender = confidentGender(row);
  return {
    age: age === null ? "–" : age.toFixed(0),
    interval: row.age_low === null ? "" : `${row.age_low.toFixed(0)}–${row.age_high.toFixed(0)}`,
    gender: gender === null ? "–" : `${gender} ${percent(Math.max(row.p_female, 1 - row.p_female))}`,
    hidden: age === null,
    nothing: age === null && gender === null,
  };
}

function accessibleName(row) {
  const { age, interval, gender } = words(row);
  return `Face ${row.face}: ` + [
    age === "–" ? "age hidden" : `age ${age}`,
    interval && `interval ${interval.replace("–", " to ")}`,
    gender === "–" ? "gender hidden" : gender,
  ].filter(Boolean).join(", ");
}

// Sending ---------------------------------------------------------------------------------------------

function add(files) {
  if (!files.length) return;
  batch++;
  const added = files.map((file) => (
    { name: file.name, batch, file, rows: null, body: document.createElement("tbody") }
  ));
  $("table").tHead.after(...added.map((photo) => photo.body));
  added.forEach(drawRows);
  photos.unshift(...added);
  waiting.push(...added);
  requested += added.length;
  $("results").hidden = false;
  document.body.classList.add("has-results");
  $("drop").scrollIntoView({ block: "nearest" });
  progress();
  while (running < AT_ONCE && waiting.length) work();
}

async function work() {
  running++;
  while (waiting.length) {
    const photo = waiting.shift();
    const { signal } = stopping;
    try {
      about ??= await (await fetch("api")).json();
      await (isZip(photo.file) ? sendZip(photo, signal) : sendPhoto(photo, signal));
    } catch (error) {
      if (!signal.aborted) fail(photo, error instanceof TypeError ? "arcage does not respond; check whether it is running" : error.message);
    }
    if (signal.aborted) continue;
    finished++;
    progress();
  }
  running--;
  progress();
}

const isZip = (file) => /zip/.test(file.type) || /\.zip$/i.test(file.name);

async function post(path, file, limit, signal) {
  if (file.size > limit) {
    throw new Error(`too large: ${megabytes(file.size)}, the limit is ${megabytes(limit)}`);
  }
  // A dropped item may be a folder, or deleted by now. Without this check, fetch would report a network error.
  await file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error("the browser cannot read it; send a folder as a zip");
  });
  // The same type for every file name, so that an unreadable file becomes a row.
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await fetch(path, { method: "POST", body: file, headers, signal });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `a proxy in front of arcage returned status ${response.status}`);
  }
  return response;
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;

async function sendPhoto(photo, signal) {
  const path = `api/predict?name=${encodeURIComponent(photo.name)}`;
  const limit = about.limits.photo_bytes;
  photo.url = URL.createObjectURL(photo.file);
  photo.rows = (await (await post(path, photo.file, limit, signal)).json()).rows;
  if (photo.rows[0].status !== "unreadable") {
    try {
      const image = await load(photo.url);
      [photo.width, photo.height] = [image.naturalWidth, image.naturalHeight];
    } catch {
      // Browsers cannot show every format that arcage reads.
      const again = await (await post(`${path}&pictures=1`, photo.file, limit, signal)).json();
      takePicture(photo, again.rows[0].picture);
    }
  }
  arrived(photo);
}

async function sendZip(zip, signal) {
  const response = await post("api/batch?pictures=1", zip.file, about.limits.zip_bytes, signal);
  let photo = null;
  for await (const row of linesOf(response)) {
    if (!row.face) {
      photo = { name: row.path, batch: zip.batch, rows: [], body: document.createElement("tbody") };
      takePicture(photo, row.picture);
      photos.splice(photos.indexOf(zip), 0, photo);
      zip.body.before(photo.body);
      requested++;
      finished++;
      progress();
    }
    delete row.picture;
    photo.rows.push(row);
    if (photo.rows.length >= row.faces) arrived(photo);
  }
  remove(zip);
}

async function* linesOf(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function takePicture(photo, picture) {
  if (!picture) return;
  photo.url = `data:image/jpeg;base64,${picture.jpeg}`;
  [photo.width, photo.height] = [picture.width, picture.height];
}

async function load(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

function arrived(photo) {
  if (!photos.includes(photo)) return;  // removed in the meantime
  const { status, error } = photo.rows[0];
  if (status === "unreadable") photo.problem ??= `Cannot be read: ${error}.`;
  if (status === "no_face") {
    photo.problem = "No face found. A face may be too small, turned away, covered or blurred.";
  }
  drawRows(photo);
  drawProblems();
  const better = shown?.batch === photo.batch && shown.problem && !photo.problem;
  if (!shown?.rows || shown === photo || shown.batch < photo.batch || better) show(photo);
}

// Next to the buttons, because the table may be long.
function drawProblems() {
  const most = 4;
  const bad = photos.filter((photo) => photo.problem && photo.batch === batch);
  const lines = bad.slice(0, most).map((photo) => `${photo.name}: ${photo.problem}`);
  if (bad.length > most) lines.push(`${bad.length - most} more: see the table.`);
  $("notice").hidden = !lines.length;
  $("notice").replaceChildren(...lines.map((textContent) => make("div", { textContent })));
}

function fail(photo, error) {
  photo.problem = `No result: ${error}.`;
  const nothing = Object.fromEntries((about?.columns ?? []).map((name) => [name, null]));
  photo.rows = [{ ...nothing, path: photo.name, face: null, faces: 0, status: "unreadable", error }];
  arrived(photo);
}

function remove(photo) {
  photo.body.remove();
  photos = photos.filter((other) => other !== photo);
}

function progress() {
  const busy = running > 0;
  $("busy").hidden = !busy;
  $("progress").max = requested;
  $("progress").value = finished;
  $("status").textContent = busy ? `${finished} of ${requested} processed` : summary();
  step(0);
}

function summary() {
  const done = photos.filter((photo) => photo.rows);
  if (!done.length) return "";
  const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
  const faces = done.flatMap((photo) => photo.rows).filter((row) => row.status === "ok").length;
  const bad = (status) => done.filter((photo) => photo.rows[0].status === status).length;
  if (done.length === 1 && bad("no_face")) return "No face found.";
  if (done.length === 1 && bad("unreadable")) return "The photo cannot be read.";
  return [
    `${count(done.length, "photo", "photos")}, ${count(faces, "face", "faces")}`,
    bad("no_face") && `no face in ${bad("no_face")}`,
    bad("unreadable") && `${bad("unreadable")} cannot be read`,
  ].filter(Boolean).join("; ") + ".";
}

function stop() {
  stopping.abort();
  stopping = new AbortController();
  waiting = [];
  photos.filter(({ rows }) => !rows || rows.length < rows[0].faces).forEach(remove);
  requested = finished = 0;
}

function clear() {
  stop();
  for (const photo of photos) {
    photo.body.remove();
    if (photo.url) URL.revokeObjectURL(photo.url);
  }
  photos = [];
  shown = chosen = null;
  $("results").hidden = true;
  document.body.classList.remove("has-results");
  drawProblems();
  progress();
  $("choose").focus();
}

// The table -------------------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function drawRows(photo) {
  const name = make("button", { className: "name", textContent: photo.name, onclick: () => {
    show(photo);
    if (narrow.matches) $("shown").scrollIntoView({ block: "nearest" });
  } });
  const head = make("th", { colSpan: 4, scope: "rowgroup" }, name);
  if (!photo.rows) head.append(make("small", { className: "pale", textContent: "waiting" }));
  if (photo.problem) head.append(make("small", { className: "problem", textContent: photo.problem }));
  photo.body.replaceChildren(make("tr", {}, head));
  const faces = (photo.rows ?? []).filter((row) => row.status === "ok");
  for (const row of faces) {
    row.photo = photo;
    const canvas = make("canvas", { width: 88, height: 88 });
    const pick = make("button", { className: "pick" }, canvas, ...number(row));
    const [range, point] = [make("i"), make("b")];
    const interval = make("span", { className: "interval" });
    const bar = make("div", { className: "bar" }, range, point, interval);
    const parts = { pick, range, point, interval, canvas };
    parts.age = make("td", { className: "age" });
    parts.gender = make("td", { className: "gender" });
    parts.row = make(
      "tr", { className: "face", onclick: () => choose(row, "picture") },
      make("td", {}, pick), parts.age, make("td", { className: "axis" }, bar), parts.gender,
    );
    row.parts = parts;
    photo.body.append(parts.row);
    fill(row);
  }
  if (faces.length && photo.url) crop(photo, faces);
  ticks();
}

async function crop(photo, faces) {
  const image = await load(photo.url).catch(() => null);
  if (!image) return;
  const zoom = image.naturalWidth / photo.width;
  for (const row of faces) {
    const side = 1.3 * Math.max(row.x2 - row.x1, row.y2 - row.y1);
    const [x, y] = [(row.x1 + row.x2 - side) / 2, (row.y1 + row.y2 - side) / 2];
    const pen = row.parts.canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, x * zoom, y * zoom, side * zoom, side * zoom, 0, 0, 88, 88);
  }
}

// The number of a face, as in the column "face"; a single face has none.
function number(row) {
  return row.faces > 1 ? [make("span", { className: "number", textContent: row.face })] : [];
}

function fill(row) {
  const { age, interval, gender, hidden } = words(row);
  const { parts } = row;
  parts.age.textContent = age;
  parts.interval.textContent = interval;
  parts.gender.textContent = gender;
  parts.pick.setAttribute("aria-label", accessibleName(row));
  parts.row.classList.toggle("low-confidence", hidden);
  parts.range.hidden = row.age_low === null;
  parts.point.hidden = hidden;
  const at = (years) => `${100 * Math.min(1, Math.max(0, years / axis))}%`;
  parts.range.style.left = at(row.age_low);
  parts.range.style.right = `calc(100% - ${at(row.age_high)})`;
  parts.point.style.left = at(row.age);
  parts.interval.style.left = `clamp(1.2rem, ${at((row.age_low + row.age_high) / 2)}, 100% - 1.2rem)`;
}

let axis = 80;  // years at the end of the axis

function ticks() {
  const high = Math.max(0, ...photos.flatMap((photo) => photo.rows ?? []).map((row) => row.age_high ?? 0));
  const wanted = Math.max(80, 20 * Math.ceil(high / 20));
  if (wanted === axis && $("ticks").childElementCount) return;
  axis = wanted;
  const marks = Array.from({ length: axis / 20 + 1 }, (_, i) => 20 * i);
  $("ticks").replaceChildren(...marks.map((years) => {
    const mark = make("span", { textContent: years });
    mark.style.left = `${(100 * years) / axis}%`;
    return mark;
  }));
  photos.flatMap((photo) => photo.rows ?? []).filter((row) => row.parts).forEach(fill);
}

// The picture -----------------------------------------------------------------------------------------

function show(photo) {
  shown = photo;
  if (chosen && chosen.photo !== photo) choose(null);
  const seen = Boolean(photo.url && photo.width);
  $("stage").hidden = !seen;
  if (seen) $("picture").src = photo.url;
  else $("picture").removeAttribute("src");
  $("picture").alt = photo.name;
  caption();
  step(0);
  drawBoxes();
}

function caption(hint) {
  $("caption").textContent = shown.name + (shown.problem ? `: ${shown.problem}` : hint ? ` (${hint})` : "");
}

function step(by) {
  const index = photos.indexOf(shown) + by;
  if (by && photos[index]) show(photos[index]);
  const at = photos.indexOf(shown);
  for (const [id, off] of [["previous", at <= 0], ["next", at >= photos.length - 1]]) {
    $(id).hidden = photos.length < 2;
    $(id).disabled = off;
  }
}

function drawBoxes() {
  $("boxes").replaceChildren();
  if (!shown?.width) return;
  const { width, height } = shown;
  for (const row of shown.rows.filter((row) => row.status === "ok")) {
    const [x1, y1] = [Math.max(0, row.x1), Math.max(0, row.y1)];
    const [x2, y2] = [Math.min(width, row.x2), Math.min(height, row.y2)];
    const box = make("button", { className: "box", onclick: () => choose(row, "row") }, ...number(row));
    Object.assign(box.style, {
      left: `${(100 * x1) / width}%`, width: `${(100 * (x2 - x1)) / width}%`,
      top: `${(100 * y1) / height}%`, height: `${(100 * (y2 - y1)) / height}%`,
    });
    row.box = box;
    row.label = make("span", { className: "label" });
    row.label.setAttribute("aria-hidden", "true");  // the box has the same name
    $("boxes").append(box, row.label);
  }
  drawLabels();
}

function drawLabels() {
  if (!shown?.width) return;
  const rows = shown.rows.filter((row) => row.box);
  for (const row of rows) {
    row.box.setAttribute("aria-label", accessibleName(row));
    row.box.setAttribute("aria-pressed", String(row === chosen));
    row.box.classList.toggle("low-confidence", words(row).nothing);
    row.box.classList.toggle("chosen", row === chosen);
    row.label.classList.toggle("chosen", row === chosen);
    row.label.textContent = labelText(row);
  }
  $("boxes").classList.remove("crowded");
  if (!place(rows)) return caption();
  $("boxes").classList.add("crowded");
  if (!place(rows)) return caption();
  for (const row of rows) row.label.textContent = labelText(row, row !== chosen);
  const hidden = place(rows);
  const labels = hidden === 1 ? "1 label" : `${hidden} labels`;
  caption(`${hidden ? `no room for ${labels}` : "only ages"}: tap or click a face`);
}

function labelText(row, short = false) {
  const { age, interval, gender } = words(row);
  if (short) return age;
  const years = [age === "–" ? "" : age, interval && `(${interval})`].filter(Boolean).join(" ");
  return [years, gender === "–" ? "" : gender].filter(Boolean).join("\n") || "hidden";
}

// Places each label where it covers no other label and the least area of faces. A label that would cover too
// much is visible only while its face is hovered or selected; returns the number of these labels.
function place(rows) {
  const [width, height] = [$("boxes").clientWidth, $("boxes").clientHeight];
  const faces = rows.map(({ box }) => [
    box.offsetLeft, box.offsetTop - (box.firstChild?.offsetHeight ?? 0), box.offsetLeft + box.offsetWidth, box.offsetTop + box.offsetHeight,
  ]);
  const labels = [];
  let hidden = 0;
  rows.forEach((row, index) => {
    const [x1, y1, x2, y2] = faces[index];
    const [w, h] = [row.label.offsetWidth, row.label.offsetHeight];
    const places = [
      [x1, y1 - h - 2], [x1, y2 + 2], [x2 + 2, y1], [x1 - w - 2, y1], [x2 - w, y1 - h - 2], [x2 - w, y2 + 2],
      [(x1 + x2 - w) / 2, y1 - h - 2], [(x1 + x2 - w) / 2, y2 + 2], [x1, y1],
    ];
    let [best, least] = [null, Infinity];
    for (const [x, y] of places) {
      const [left, top] = [Math.max(0, Math.min(x, width - w)), Math.max(0, Math.min(y, height - h))];
      const at = [left, top, left + w, top + h];
      const free = !labels.some((label) => common(at, label));
      const covered = free ? faces.reduce((sum, face) => sum + common(at, face), 0) : Infinity;
      if (covered < least) [best, least] = [at, covered];
    }
    const spare = least > 0.05 * w * h;
    // A spare label covers others while it is visible, so it can be below its face.
    best = spare ? [Math.min(x1, width - w), Math.min(y2 + 2, height - h)] : best;
    const [left, top] = best;
    row.label.style.transform = `translate(${left}px, ${top}px)`;
    row.label.classList.toggle("spare", spare);
    if (spare) hidden++;
    else labels.push(best);
  });
  return hidden;
}

const common = (a, b) => (
  Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]))
);

const narrow = matchMedia("(max-width: 860px)");  // as in page.css, where the table is below the picture

// `to` is scrolled into view; on a narrow screen only the picture, as its label has the content of the row.
function choose(row, to) {
  chosen?.parts.row.classList.remove("chosen");
  chosen?.parts.pick.removeAttribute("aria-current");
  chosen = row;
  if (row) {
    if (shown !== row.photo) show(row.photo);
    row.parts.row.classList.add("chosen");
    row.parts.pick.setAttribute("aria-current", "true");
    if (to === "row" && !narrow.matches) row.parts.row.scrollIntoView({ block: "nearest" });
    if (to === "picture" && narrow.matches) row.box?.scrollIntoView({ block: "center" });
  }
  drawLabels();
}

// CSV -------------------------------------------------------------------------------------------------

function csv() {
  const quoted = (text) => (/[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  // As arcage/text.py does: no spreadsheet runs the name of a file as a formula.
  const harmless = (text) => (/^'*[=+\-@\t\r\n＝＋－＠]./s.test(text) ? `'${text}` : text);
  const cell = (value, places) => {
    if (value === null) return "";
    if (places !== undefined) return value.toFixed(places);
    return quoted(typeof value === "string" ? harmless(value) : String(value));
  };
  const rows = photos.flatMap((photo) => photo.rows ?? []).map((row) => {
    const shown = { ...row, age: confidentAge(row), gender: confidentGender(row) };
    return about.columns.map((name) => cell(shown[name], about.decimals[name])).join(",");
  });
  return [about.columns.join(","), ...rows, ""].join("\n");
}

function download() {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: url, download: "arcage.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// The webcam ------------------------------------------------------------------------------------------

async function openCamera() {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 1280 }, height: { ideal: 960 }, facingMode: "user" },
    });
    $("webcam").hidden = false;
    $("shoot").focus();
  } catch (error) {
    const why = error.name === "NotAllowedError" ? "the browser has no permission to use it" : error.message;
    $("status").textContent = `The webcam cannot be used: ${why}.`;
  }
}

function closeCamera() {
  $("video").srcObject?.getTracks().forEach((track) => track.stop());
  $("video").srcObject = null;
  $("webcam").hidden = true;
  $("camera").focus();
}

async function shoot() {
  const video = $("video");
  if (!video.videoWidth) return;
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  closeCamera();
  add([new File([blob], "webcam.jpg", { type: "image/jpeg" })]);
}

// Events ----------------------------------------------------------------------------------------------

function sliders() {
  const any = $("width").value === $("width").max;
  $("width-value").textContent = any ? "any" : `${$("width").value} years`;
  $("confidence-value").textContent = `${$("confidence").value} %`;
  photos.flatMap((photo) => photo.rows ?? []).filter((row) => row.parts).forEach(fill);
  drawLabels();
}

$("choose").onclick = () => $("files").click();
$("files").onchange = () => {
  add([...$("files").files]);
  $("files").value = "";  // so that the same file can be selected again
};
$("camera").hidden = !navigator.mediaDevices;  // over http, browsers allow it on localhost only
$("camera").onclick = openCamera;
$("shoot").onclick = shoot;
$("close").onclick = closeCamera;
$("stop").onclick = () => {
  stop();
  progress();
};
$("clear").onclick = clear;
$("download").onclick = download;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("width").oninput = $("confidence").oninput = sliders;

document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  add([...event.dataTransfer.files]);
});

new ResizeObserver(drawLabels).observe($("boxes"));
sliders();
ticks();
