"use strict";

// What every page with pictures begins with: its data, elements, a case's picture, and the layers over all pictures.

const SVG = "http://www.w3.org/2000/svg";
const UNITS = 10; // of an outline a thumbnail's pixel, as in cases.py

const source = document.getElementById("data");
const given = JSON.parse(source.textContent);
const { scores, cases } = given;
source.remove(); // its text is as large as all thumbnails

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function written(name, value) {
  return value === null ? "–" : value.toFixed(scores[name].digits);
}

// ---- a case's picture: its thumbnail under the coloured regions and the outlines ----

function picture(item, name) {
  const { width, height, truth, prediction } = item;
  const image = element("img", { src: `data:image/jpeg;base64,${item.jpeg}`, alt: "" });
  const rule = "evenodd"; // keeps holes open
  const outline = (d, kind) => [
    shape("path", { d, class: `outline halo ${kind}` }),
    shape("path", { d, class: `outline ${kind}` }),
  ];
  // The regions lie over each other in full colour, and fade as one group.
  const regions = shape(
    "g",
    { class: "regions" },
    shape("path", { d: truth, class: "missed", "fill-rule": rule }),
    shape("path", { d: prediction, class: "wrong", "fill-rule": rule }),
    shape("path", { d: truth, class: "found", "fill-rule": rule, "clip-path": `url(#${name})` }),
  );
  const clip = shape("clipPath", { id: name }, shape("path", { d: prediction, "clip-rule": rule }));
  const box = `0 0 ${UNITS * width} ${UNITS * height}`;
  const overlay = shape("svg", { viewBox: box, "aria-hidden": "true" }, clip, regions);
  overlay.append(...outline(prediction, "predicted"), ...outline(truth, "truth"));
  return [image, overlay];
}

// ---- layers over all pictures ----

function setLayers(fade, truth, predicted) {
  document.documentElement.style.setProperty("--fade", fade / 100);
  for (const label of document.querySelectorAll(".fade")) {
    label.querySelector("input").value = fade;
    label.querySelector("output").value = `${fade} %`;
  }
  document.documentElement.classList.toggle("no-truth", !truth);
  document.documentElement.classList.toggle("no-predicted", !predicted);
}

