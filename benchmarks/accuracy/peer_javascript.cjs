// Shared by the JavaScript peers: images to tensors, and faces to rows of the table that peers.py reads.
"use strict";

// Serve only local files: the packages read their models through fetch, too.
const fs = require("node:fs");
const { fileURLToPath } = require("node:url");
globalThis.fetch = async (url) => new Response(fs.readFileSync(fileURLToPath(String(url))));

const path = require("node:path");
const sharp = require("sharp");
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");

const COLUMNS = ["path", "width", "height", "x1", "y1", "x2", "y2", "age", "gender", "status"];
const WASM = path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep;

const quoted = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : value);
const line = (values) => values.map(quoted).join(",") + "\r\n";

// Read an image, upright, RGB, with `margin` black pixels on every side.
async function read(file, margin) {
  const border = { top: margin, bottom: margin, left: margin, right: margin, background: "black" };
  const image = sharp(file).rotate().toColourspace("srgb").removeAlpha().extend(border).raw();
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  return tf.tensor3d(data, [info.height, info.width, info.channels], "int32");
}

// Implement `node SCRIPT LIST PREDICTIONS.csv MARGIN`. `load()` returns a function from a tensor
// [height, width, 3], 0 to 255, to its faces, each { x, y, width, height, age, gender }.
exports.run = async (load) => {
  const [names, answers, margin] = [process.argv[2], process.argv[3], Number(process.argv[4])];
  wasm.setWasmPaths(WASM);
  await tf.setBackend("wasm");
  await tf.ready();
  const find = await load();
  const paths = fs.readFileSync(names, "utf8").split("\n");
  fs.writeFileSync(answers, line(COLUMNS));
  for (const [index, name] of paths.entries()) {
    const image = await read(name, margin);
    const size = [image.shape[1] - 2 * margin, image.shape[0] - 2 * margin];
    const faces = await find(image);
    image.dispose();
    const rows = faces.map((face) => {
      const [x, y] = [face.x - margin, face.y - margin];
      return [name, ...size, x, y, x + face.width, y + face.height, face.age, face.gender, "ok"];
    });
    if (!rows.length) rows.push([name, ...size, "", "", "", "", "", "", "no_face"]);
    fs.appendFileSync(answers, rows.map(line).join(""));
    const done = index + 1;
    if (done % 500 === 0 || done === paths.length) console.error(`${done} of ${paths.length} images`);
  }
};
exports.tf = tf;
exports.WASM = WASM;
