// Run the package @vladmandic/human on a list of images, for peers.py, with the peer's folder as NODE_PATH.
//
// node peer_human.cjs LIST PREDICTIONS.csv MARGIN
//
// Its defaults, except: no state between images, only the networks for age and gender, all faces instead of the
// most confident one, and a gender for each face at any confidence, as from the other packages.
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
