// The package @vladmandic/human on a list of images; run by peers.py with the peer's folder as NODE_PATH.
//
// node peer_human.cjs LIST ANSWERS.csv MARGIN
//
// Its defaults, but for: each image by itself, no network but those for age and gender, all faces and not
// only the surest, and a gender for each, however sure, as the others give it.
"use strict";

const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { run, WASM } = require("./peer_javascript.cjs");

run(async () => {
  const dist = path.dirname(require.resolve("@vladmandic/human"));
  const { Human } = require(path.join(dist, "human.node-wasm.js"));
  const off = { enabled: false };
  const human = new Human({
    backend: "wasm",
    wasmPath: WASM,
    modelBasePath: pathToFileURL(path.join(dist, "..", "models")).href + "/",
    cacheSensitivity: 0,
    face: { detector: { maxDetected: 10 }, description: { minConfidence: -1 }, iris: off, emotion: off },
    body: off,
    hand: off,
    object: off,
    gesture: off,
  });
  return async (image) => {
    const { face, error } = await human.detect(image);
    if (error) throw new Error(error);
    // It leaves out an age of 0.
    return face.map(({ box: [x, y, width, height], age = 0, gender }) => ({ x, y, width, height, age, gender }));
  };
});
