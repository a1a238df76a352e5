"use strict";

// --- the values that the page was written with ---

const { images, layers } = JSON.parse(document.getElementById("report-values").textContent);
const boxes = [];

images.forEach((image, position) => {
  image.position = position;
  image.boxes.forEach((box, boxPosition) => {
    box.image = image;
    box.position = boxPosition;
    boxes.push(box);
  });
});

const hasSeveralImages = images.length > 1;
const hasTruth = images.some((image) => image.truth);
const hasRoles = boxes.some((box) => box.role !== "detection");
const hasSeveralTargets = new Set(boxes.map((box) => box.target)).size > 1;
const hasSeveralMethods = new Set(boxes.map((box) => box.method)).size > 1;

const isBlank = (box) => box.status !== "ok";
const heatOutside = (box) => (box.energy === null ? null : 1 - box.energy);
const widthOf = (corners) => Math.max(0, corners[2] - corners[0]);
const heightOf = (corners) => Math.max(0, corners[3] - corners[1]);
const areaOf = (corners) => widthOf(corners) * heightOf(corners);
const hasCandidate = (box) => box.status !== "no_candidate";
const shownCorners = (box) => (hasCandidate(box) || !box.answer ? box.box : box.answer.box);

// What a box is called: the detection's index, or the name of the box that was asked about.
const nameOf = (box) => (box.answer ? box.answer.name : `box ${box.index}`);
const classOf = (box) => (hasCandidate(box) || !box.answer ? box.className : box.answer.className || "any class");

function levelsOf(box) {
  return box.levels.map(([layer, level, gridHeight, gridWidth, strideY, strideX, share]) => ({
    layer: layers[layer],
    level,
    grid: `${gridHeight}×${gridWidth}`,
    stride: Math.sqrt(strideY * strideX),
    share,
  }));
}

// Where between fine and coarse the evidence lies: the mean stride, each level weighted by its share.
function meanStride(box) {
  const levels = levelsOf(box);
  const total = levels.reduce((sum, level) => sum + level.share, 0);
  return total > 0 ? levels.reduce((sum, level) => sum + level.share * level.stride, 0) / total : null;
}

// --- values as one reads them ---

const count = (number) => number.toLocaleString("en");
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
const strideText = (stride) => String(Number(stride.toFixed(1)));
const score = (number) => (number === null ? "–" : number.toFixed(3));
const pixels = (number) => count(Math.round(number));

function percent(share) {
  if (share === null) return "–";
  if (share > 0 && share < 0.005) return "<1 %";
  if (share < 1 && share > 0.995) return ">99 %";
  return `${Math.round(share * 100)} %`;
}

const STATUS_WORDS = {
  ok: "ok",
  no_path: "no path",
  zero_gradient: "zero gradient",
  negative: "negative",
  not_finite: "not finite",
  outside: "off the image",
  no_candidate: "no candidate",
};

// --- elements; texts become text nodes, never HTML ---

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

let announcing = 0;

// Says something to screen readers, once the typing or sliding that led to it has come to rest.
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    document.getElementById("announcement").textContent = text;
  }, 300);
}

// --- parts that several pages show ---

const THUMBNAIL_SIDE = 64;

const unveil = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      unveil.unobserve(target);
      target.unveil();
    }
  },
  { rootMargin: "300px" },
);

// Gives a picture its source when its frame comes near the visible part of the page.
function loadLate(frame, picture, source) {
  frame.unveil = () => {
    picture.src = source;
  };
  unveil.observe(frame);
}

function thumbnailOf(box) {
  const frame = element("span", { class: "thumbnail" });
  const missing = () => frame.replaceChildren(element("span", { class: "quiet" }, "no picture"));
  if (!box || !box.thumbnail) {
    missing();
    return frame;
  }
  const { data, url, window: part } = box.thumbnail;
  const alt = `${isBlank(box) ? "No map" : "Map"}: ${classOf(box)}, ${nameOf(box)}`;
  const picture = element("img", { alt, decoding: "async", onerror: missing });
  loadLate(frame, picture, data || url);
  if (part) {
    const unit = THUMBNAIL_SIDE / Math.max(part[2], part[3]);
    const clip = element("span", { class: "clip" }, picture);
    clip.style.width = `${part[2] * unit}px`;
    clip.style.height = `${part[3] * unit}px`;
    picture.style.width = `${unit}px`;
    picture.style.left = `${-part[0] * unit}px`;
    picture.style.top = `${-part[1] * unit}px`;
    frame.append(clip);
  } else {
    frame.append(picture);
  }
  return frame;
}

function meterOf(share) {
  if (share === null) return element("span", { class: "quiet", title: "there is no map" }, "–");
  const filled = element("span", { class: "filled" });
  filled.style.width = `${share * 100}%`;
  return element(
    "span",
    { class: "measure" },
    percent(share),
    element("span", { class: "meter", "aria-hidden": "true" }, filled),
  );
}

function levelBarOf(box) {
  const levels = levelsOf(box).sort((one, other) => one.stride - other.stride);
  const main = levels.reduce((best, level) => (!best || level.share > best.share ? level : best), null);
  if (!main || main.share <= 0) return element("span", { class: "quiet" }, "–");
  const words = levels.map((level) => `${level.grid} ${percent(level.share)}`).join(", ");
  if (levels.length === 1) return element("span", { class: "measure" }, main.grid);
  const bar = element("span", { class: "levels", "aria-hidden": "true" });
  levels.forEach((level, position) => {
    if (level.share <= 0) return;
    const part = element("span", { class: `level-${Math.min(position, 5)}` });
    part.style.flexGrow = level.share;
    bar.append(part);
  });
  return element(
    "span",
    { class: "measure", title: words },
    element("span", { "aria-hidden": "true" }, `${main.grid} ${percent(main.share)}`),
    element("span", { class: "hidden" }, words),
    bar,
  );
}

const badge = (text, kind, title) => element("span", { class: `badge ${kind}`, title }, text);

function statusOf(box) {
  return isBlank(box)
    ? badge(STATUS_WORDS[box.status], "warning", box.reason)
    : element("span", { class: "quiet" }, "ok");
}

const ROLE_KINDS = { matched: "good", "false positive": "bad", missed: "bad", asked: "neutral" };

function roleOf(box) {
  return ROLE_KINDS[box.role] ? badge(box.role, ROLE_KINDS[box.role]) : element("span", { class: "quiet" }, box.role);
}

const verdictOf = (box) => badge(box.answer.verdict, box.answer.verdict === "found" ? "good" : "neutral");

const imageHash = (image) => `#image=${image.position}`;
const boxHash = (box) => `#image=${box.image.position}&box=${box.position}`;
