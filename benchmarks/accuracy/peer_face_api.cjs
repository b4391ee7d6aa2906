// Run the package @vladmandic/face-api on a list of images, for peers.py, with the peer's folder as NODE_PATH.
//
// node peer_face_api.cjs LIST PREDICTIONS.csv MARGIN
//
// As in its documentation: the detector SSD MobileNet v1 with its defaults, landmarks, age and gender.
"use strict";

const path = require("node:path");
const { run } = require("./peer_javascript.cjs");

run(async () => {
  const folder = path.dirname(require.resolve("@vladmandic/face-api/package.json"));
  const faceapi = require(path.join(folder, "dist", "face-api.node-wasm.js"));
  for (const name of ["ssdMobilenetv1", "faceLandmark68Net", "ageGenderNet"]) {
    await faceapi.nets[name].loadFromDisk(path.join(folder, "model"));
  }
  return async (image) => {
    const faces = await faceapi.detectAllFaces(image).withFaceLandmarks().withAgeAndGender();
    return faces.map(({ detection: { box }, age, gender }) => ({
      x: box.x, y: box.y, width: box.width, height: box.height, age, gender,
    }));
  };
});
